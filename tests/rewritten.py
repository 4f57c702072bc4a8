"""Releases whose weights were changed after the export, hashes included."""

import hashlib
import json

import safetensors.numpy


def rewrite(file, change):
    """Changes the tensors of a network's file, and the hash in `model.json`.

    Args:
      file: path of the file.
      change: called with {name: array}, which it changes.
    """
    tensors = safetensors.numpy.load_file(file)
    change(tensors)
    put(file, safetensors.numpy.save(tensors))


def put(file, content):
    """Writes a network's file, and its hash into `model.json`."""
    file.write_bytes(content)
    description = file.with_name("model.json")
    described = json.loads(description.read_text())
    described["sha256"][file.stem] = hashlib.sha256(content).hexdigest()
    description.write_text(json.dumps(described))
