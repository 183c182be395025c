"""An evidence folder in the hands of those that read it: CycloneDX, in-toto, a DSSE verifier, the hub's model card."""

import base64
import hashlib
import json
import pathlib
import sys

import google.protobuf.json_format as pb_json
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from huggingface_hub import ModelCard
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey


def check_bom(folder):
    text = (folder / "ml-bom.json").read_text()
    errors = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert errors is None, errors
    metrics = json.loads(text)["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert any("confidenceInterval" in metric for metric in metrics), metrics


def check_statement(folder):
    parsed = pb_json.Parse((folder / "statement.json").read_text(), statement_pb2.Statement())
    Statement.copy_from_pb(parsed).validate()
    assert parsed.predicate_type == "https://in-toto.io/attestation/test-result/v0.1"
    result = pb_json.Parse((folder / "predicate.json").read_text(), test_result_pb2.TestResult())
    assert len(result.passed_tests) + len(result.failed_tests) + len(result.warned_tests) > 0
    for descriptor in result.configuration:
        if descriptor.annotations["role"] == "evidence":
            found = hashlib.sha256((folder / descriptor.name).read_bytes()).hexdigest()
            assert found == descriptor.digest["sha256"], descriptor.name
    return result.result


def check_envelope(folder, public):
    envelope = Envelope.from_dict(json.loads((folder / "statement.dsse.json").read_text()))
    assert envelope.payload == (folder / "statement.json").read_bytes()
    loaded = load_pem_public_key(public.read_bytes())
    (keyid,) = envelope.signatures
    key = SSlibKey.from_crypto(loaded, keyid)
    accepted = envelope.verify([key], 1)
    assert set(accepted) == {keyid}
    # And by the primitive alone, without that library.
    loaded.verify(envelope.signatures[keyid].to_dict() and base64.b64decode(
        json.loads((folder / "statement.dsse.json").read_text())["signatures"][0]["sig"]), envelope.pae())
    other = CryptoSigner.generate_ed25519().public_key
    try:
        envelope.verify([SSlibKey("x" * 64, other.keytype, other.scheme, other.keyval)], 1)
    except VerificationError:
        pass
    else:
        raise AssertionError("another key verifies")
    try:
        loaded.verify(b"0" * 64, envelope.pae())
    except InvalidSignature:
        return
    raise AssertionError("a wrong signature verifies")


def check_card(folder):
    card = ModelCard.load(folder / "model-card.md")
    results = card.data.eval_results
    assert {result.metric_type for result in results} >= {"canary-leak-rate"}, results
    assert card.text.lstrip().startswith("## Memorization of training data")


folder, public = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
check_bom(folder)
check_envelope(folder, public)
check_card(folder)
print(check_statement(folder))
