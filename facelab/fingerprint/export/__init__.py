"""A comparison in the formats of other tools: SARIF for code scanning, JUnit XML for test reports."""

from facelab.fingerprint.export._junit import junit, write_junit, xml_text
from facelab.fingerprint.export._sarif import SARIF_SCHEMA, sarif, write_sarif

__all__ = ["SARIF_SCHEMA", "junit", "sarif", "write_junit", "write_sarif", "xml_text"]
