"""Flyte's inputs, outputs and error documents, as far as tasks with plain values need them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from ckptptr.errors import InvalidArgumentError

Scalar: TypeAlias = str | int | float | bool


def encode_inputs(values: Mapping[str, Scalar | list[Scalar]]) -> bytes:
    """`inputs.pb`.

    Raises:
        InvalidArgumentError: a value has another type.
    """
    from flyteidl.core import literals_pb2 as idl

    def literal(value: Scalar | list[Scalar]) -> idl.Literal:
        match value:
            case list():
                return idl.Literal(collection=idl.LiteralCollection(literals=map(literal, value)))
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

    named = {name: literal(value) for name, value in values.items()}
    body: bytes = idl.LiteralMap(literals=named).SerializeToString()
    return body


def decode_outputs(body: bytes) -> dict[str, Scalar]:
    """The outputs by name; a value of another type becomes Flyte's own text."""
    from flyteidl.core import literals_pb2 as idl

    def plain(literal: idl.Literal) -> Scalar:
        if not literal.scalar.HasField("primitive"):
            return str(literal).strip()
        primitive = literal.scalar.primitive
        value: Scalar = getattr(primitive, primitive.WhichOneof("value"))
        return value

    return {name: plain(literal) for name, literal in idl.LiteralMap.FromString(body).literals.items()}


def decode_error(body: bytes) -> tuple[str, str]:
    """The kind and the message of `error.pb`."""
    from flyteidl.core import errors_pb2

    error = errors_pb2.ErrorDocument.FromString(body).error
    return errors_pb2.ContainerError.Kind.Name(error.kind), error.message
