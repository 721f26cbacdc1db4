"""What a task's pod needs for its bucket: S3 and what speaks its language, Google Cloud Storage, Azure.

ckptptr uses the filesystem that flytekit resolves, so there is nothing to set for it alone. Best of all
is nothing: a service account with the permissions on the bucket. Else, from a Kubernetes secret:

    @task(retries=10, pod_template=S3)
    def train() -> None: ...

For a PodTemplate of the cluster the same in YAML:

    python examples/clouds.py

Outside Flyte the variables are those of the SDKs: AWS_ACCESS_KEY_ID, AZURE_STORAGE_CONNECTION_STRING.
"""

import yaml
from flytekit import PodTemplate
from kubernetes.client import (
    ApiClient,
    V1Container,
    V1EnvVar,
    V1EnvVarSource,
    V1PodSpec,
    V1SecretKeySelector,
    V1SecretVolumeSource,
    V1Volume,
    V1VolumeMount,
)

CREDENTIALS = "checkpoints"


def plain(name: str, value: str) -> V1EnvVar:
    return V1EnvVar(name=name, value=value)


def secret(name: str) -> V1EnvVar:
    """kubectl create secret generic checkpoints --from-literal=NAME=..."""
    source = V1SecretKeySelector(name=CREDENTIALS, key=name)
    return V1EnvVar(name=name, value_from=V1EnvVarSource(secret_key_ref=source))


def pod(*env: V1EnvVar, **others: object) -> PodTemplate:
    container = V1Container(name="primary", env=[*env])
    # The grace has to be longer than the deadline of on_preemption, which is 20.
    return PodTemplate(V1PodSpec(containers=[container], termination_grace_period_seconds=30, **others))


KEYS = secret("FLYTE_AWS_ACCESS_KEY_ID"), secret("FLYTE_AWS_SECRET_ACCESS_KEY")

S3 = pod(*KEYS)

# MinIO, Ceph, R2 and the like. Each process first tests by five requests whether it supports conditional
# writes. Where you know the answer, CKPTPTR_GUARANTEE saves them.
S3_ENDPOINT = pod(*KEYS, plain("FLYTE_AWS_ENDPOINT", "https://minio.example.com"))

# A file with the key of a service account, from the secret.
GCS = pod(
    plain("GOOGLE_APPLICATION_CREDENTIALS", "/var/secrets/gcs/key.json"),
    volumes=[V1Volume(name=CREDENTIALS, secret=V1SecretVolumeSource(secret_name=CREDENTIALS))],
)
GCS.pod_spec.containers[0].volume_mounts = [V1VolumeMount(name=CREDENTIALS, mount_path="/var/secrets/gcs")]

AZURE = pod(
    plain("FLYTE_AZURE_STORAGE_ACCOUNT_NAME", "trainingdata"), secret("FLYTE_AZURE_STORAGE_ACCOUNT_KEY")
)

CLOUDS = {"S3": S3, "S3_ENDPOINT": S3_ENDPOINT, "GCS": GCS, "AZURE": AZURE}

if __name__ == "__main__":
    for cloud, template in CLOUDS.items():
        print(yaml.safe_dump({cloud: ApiClient().sanitize_for_serialization(template.pod_spec)}))
