"""`convert-a-lot host bundle`: what a bug report about a host needs, in an archive without keys, names, addresses."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from sir_convert_a_lot.interfaces.cli import options
from sir_convert_a_lot.interfaces.cli.host import HostName, HostsFile
from sir_convert_a_lot.interfaces.cli.outcome import OutputNotWritten
from sir_convert_a_lot.interfaces.cli.talk import answer_path, say

README = """\
What a bug report about a host that runs sir-convert-a-lot needs.

Taken out, and replaced by a word in angle brackets: API keys, passwords and tokens, names of accounts and machines,
home folders, addresses of the network and of mail. Nothing else was changed. Read it before you send it all the
same: the log may still hold names of documents.
"""
WRITTEN_AT = (1980, 1, 1, 0, 0, 0)  # the earliest that the format can say: the same files give the same bytes

Output = Annotated[
    Path, typer.Option("--output", help="The archive (zip) to write; must be given.", show_default=False)
]


def bundle(
    *,
    output: Output,
    host: HostName = None,
    hosts: HostsFile = None,
    api_key: options.ApiKey = None,
) -> None:
    """Write a redacted archive for a bug report.

    It holds the verification, the probe, the packages, the settings and the log of a host. Keys, tokens,
    names of accounts and machines, home folders and addresses are taken out of all of it. The log
    may still hold names of documents: read it before you send it.
    """
    from sir_convert_a_lot.application.bundle import gather
    from sir_convert_a_lot.bootstrap_hosts import find_private_words, find_profile, reach_host, verify_host
    from sir_convert_a_lot.interfaces.cli.live_service import connecting

    profile = find_profile(host, hosts)
    say("Verifying, with one conversion ...")
    verification = verify_host(profile, connecting(api_key))
    words = find_private_words()
    if api_key:
        words = words.with_secret(api_key)
    files = gather(reach_host(profile), profile, verification.verdict.to_json(), words)
    try:
        write_archive(output, {"README.txt": README, **files})
    except OSError as error:
        raise OutputNotWritten(f"cannot write {output}: {error.strerror}") from error
    answer_path(output)


def write_archive(target: Path, files: Mapping[str, str]) -> None:
    """A zip of these files, readable for its owner alone; whole or not at all. Raises `OSError`."""
    from sir_convert_a_lot.interfaces.client.whole_files import written_whole

    with written_whole(target) as part:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as sink, zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in files.items():
                archive.writestr(zipfile.ZipInfo(f"{target.stem}/{name}", WRITTEN_AT), text, zipfile.ZIP_DEFLATED)
