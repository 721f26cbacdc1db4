"""Inputs, outputs and error documents of both SDKs, as far as tasks with plain values need them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from ckptptr.errors import InvalidArgumentError

Scalar: TypeAlias = str | int | float | bool


def encode_inputs(values: Mapping[str, Scalar | list[Scalar]]) -> bytes:
    """`inputs.pb` of flytekit.

    Raises:
        InvalidArgumentError: a value has another type.
    """
    from flyteidl.core import literals_pb2 as idl

    named = {name: _literal(idl, value) for name, value in values.items()}
    body: bytes = idl.LiteralMap(literals=named).SerializeToString()
    return body


def decode_outputs(body: bytes) -> dict[str, Scalar]:
    """The outputs by name; a value of another type becomes Flyte's own text."""
    from flyteidl.core import literals_pb2 as idl

    return {name: _plain(literal) for name, literal in idl.LiteralMap.FromString(body).literals.items()}


def decode_error(body: bytes) -> tuple[str, str]:
    """The kind and the message of `error.pb`."""
    from flyteidl.core import errors_pb2

    error = errors_pb2.ErrorDocument.FromString(body).error
    return errors_pb2.ContainerError.Kind.Name(error.kind), error.message


def encode_inputs_of_2(values: Mapping[str, Scalar | list[Scalar]]) -> bytes:
    """`inputs.pb` of Flyte 2.

    Raises:
        InvalidArgumentError: a value has another type.
    """
    from flyteidl2.core import literals_pb2 as idl
    from flyteidl2.task import common_pb2

    named = [common_pb2.NamedLiteral(name=name, value=_literal(idl, value)) for name, value in values.items()]
    body: bytes = common_pb2.Inputs(literals=named).SerializeToString()
    return body


def decode_outputs_of_2(body: bytes) -> dict[str, Scalar]:
    """As `decode_outputs`."""
    from flyteidl2.task import common_pb2

    return {named.name: _plain(named.value) for named in common_pb2.Outputs.FromString(body).literals}


def decode_error_of_2(body: bytes) -> tuple[str, str]:
    """As `decode_error`."""
    from flyteidl2.core import execution_pb2

    error = execution_pb2.ErrorDocument.FromString(body).error
    return execution_pb2.ContainerError.Kind.Name(error.kind), error.message


def _literal(idl: Any, value: Scalar | list[Scalar]) -> Any:
    """In the words of `flyteidl.core.literals_pb2`, or that of flyteidl2: they say the same."""
    match value:
        case list():
            each = [_literal(idl, item) for item in value]
            return idl.Literal(collection=idl.LiteralCollection(literals=each))
        case bool():
            primitive = idl.Primitive(boolean=value)
        case int():
            primitive = idl.Primitive(integer=value)
        case float():
            primitive = idl.Primitive(float_value=value)
        case str():
            primitive = idl.Primitive(string_value=value)
        case _:
            raise InvalidArgumentError(
                f"the input {value!r} is not a text, number, true, false or a list of those"
            )
    return idl.Literal(scalar=idl.Scalar(primitive=primitive))


def _plain(literal: Any) -> Scalar:
    if not literal.scalar.HasField("primitive"):
        return str(literal).strip()
    primitive = literal.scalar.primitive
    value: Scalar = getattr(primitive, primitive.WhichOneof("value"))
    return value
