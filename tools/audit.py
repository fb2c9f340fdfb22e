"""Ask for known vulnerabilities of the packages installed in a directory, and say honestly how many were answered for.

usage: python -m tools.audit SITE_PACKAGES

pip-audit calls a package clean when the service does not know it, and so passes everything when a mirror of PyPI has no
vulnerability service. Here that is a failure. Exit codes: 0 all clean, 1 vulnerabilities found, 2 not all were audited.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any


def verdict(report: Mapping[str, Any]) -> tuple[int, str]:
    """Return the exit code and the summary for a report of ``pip-audit --format json``."""
    packages = report["dependencies"]
    unanswered = [package["name"] for package in packages if "skip_reason" in package]
    findings = [
        f"{package['name']} {package['version']}: {', '.join([found['id'], *found['aliases']])}, "
        f"mended in {', '.join(found['fix_versions']) or 'no version yet'}"
        for package in packages
        for found in package.get("vulns", ())
    ]
    answered = len(packages) - len(unanswered)
    lines = [*findings, f"{answered} of {len(packages)} packages audited, {len(findings)} known vulnerabilities"]
    if unanswered:
        names = ", ".join(unanswered) if answered else "all"
        lines.append(
            f"Not audited, because the vulnerability service does not know them or cannot be reached from here: {names}"
        )
    return (1 if findings else 2 if unanswered else 0), "\n".join(lines)


def main(site_packages: str) -> int:
    """Audit the packages installed in the directory and print the summary; return the exit code."""
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--path",
        site_packages,
        "--format",
        "json",
        "--progress-spinner",
        "off",
    ]
    audit = subprocess.run(command, capture_output=True, text=True, check=False)
    if not audit.stdout.strip():
        reason = audit.stderr.strip().splitlines()[-1:] or ["pip-audit said nothing"]
        print(f"Nothing was audited; the vulnerability service is probably not reachable from here.\n{reason[0]}")
        return 2
    code, summary = verdict(json.loads(audit.stdout))
    print(summary)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
