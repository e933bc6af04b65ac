"""List what is in the image, as CycloneDX JSON: the packages of the lock and the files of the model.

The same content gives the same bytes: there is no clock in it, and the serial number is a hash.
Format: CycloneDX 1.6 (ECMA-424); package URLs: https://github.com/package-url/purl-spec.
"""

import json
from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from packaging.requirements import Requirement

# What the image is, whatever machine builds it; a base image brings another Python only if someone names one.
IMAGE = {"implementation_name": "cpython", "platform_python_implementation": "CPython", "sys_platform": "linux",
         "platform_system": "Linux", "os_name": "posix"}  # fmt: skip


def locked(lock: str, where: Mapping[str, str] = IMAGE) -> dict[str, str]:
    """Return the version of each package that a hash-pinned lock installs, by name; `where` differs from what runs this."""
    found = {}
    for line in lock.splitlines():
        if not line[:1].isalnum():  # a hash of the entry above, a comment, nothing
            continue
        requirement = Requirement(line.removesuffix("\\"))
        if requirement.marker is None or requirement.marker.evaluate(dict(where)):
            found[requirement.name] = str(requirement.specifier).removeprefix("==")
    return found


def sbom(name: str, version: str, lock: str, manifest: Mapping[str, Any]) -> bytes:
    """Return the bill of materials of the image `name`:`version` with this lock and this model."""
    packages = [_package(*entry) for entry in sorted(locked(lock).items())]
    model = _model(name, manifest)
    image = f"{name}@{version}"
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "bom-ref": image, "name": name, "version": version}},
        "components": [model, *packages],
        "dependencies": [{"ref": image, "dependsOn": sorted(part["bom-ref"] for part in (model, *packages))}],
    }
    bill["serialNumber"] = uuid5(NAMESPACE_OID, json.dumps(bill, sort_keys=True)).urn
    return (json.dumps(bill, indent=2, sort_keys=True) + "\n").encode()


def _package(name: str, version: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _model(name: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    version = manifest["model_version"]
    files = [
        {"type": "file", "bom-ref": f"model/{path}", "name": path, "hashes": [{"alg": "SHA-256", "content": said["sha256"]}]}
        for path, said in sorted(manifest["files"].items())
    ]  # fmt: skip
    return {"type": "machine-learning-model", "bom-ref": f"model@{version}", "name": f"{name} model", "version": version,
            "components": files}  # fmt: skip
