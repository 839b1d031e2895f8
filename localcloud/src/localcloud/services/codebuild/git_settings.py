"""Git in a build: AWS's own hosts lead to the local cloud, as names do on AWS, and the build's git signs in to them.

The settings are git's system-wide ones (GIT_CONFIG_SYSTEM), which a build's own come on top of. Only the address is
replaced: with which credentials git signs in at AWS's host is for the build's own settings to say, and they are asked.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from localcloud.services.git_http import HOSTED

# Hosts of AWS's git endpoints, by service.
_SERVICES = ("codeconnections", "codestar-connections")
_OWN = """\
[credential]
\thelper = !aws codecommit credential-helper --ignore-host-check $@
\tUseHttpPath = true
"""
# git asks for the address on this machine; what it knows of the host at AWS answers.
_HELPER = """\
#!/bin/sh
[ "$1" = get ] || exit 0
while IFS='=' read -r key value; do
  [ "$key" = path ] && path=${value#_git/}
done
printf 'protocol=https\\nhost=%s\\npath=%s\\n\\n' "${path%%/*}" "${path#*/}" | git credential fill |
  grep -E '^(username|password)='
"""


def write(root: Path, home: Path, endpoint: str, region: str, *, helper: bool) -> dict[str, str]:
    """Write the settings of a build. Returns the variables that point at them.

    Args:
        root: the build's directory, which its container sees under the same path.
        home: its HOME.
        helper: whether the buildspec says `git-credential-helper: yes`.
    """
    if helper:
        (home / ".gitconfig").write_text(_OWN)
    script = root / "git-credentials"
    script.write_text(_HELPER)
    script.chmod(0o755)
    base = endpoint.rstrip("/") + HOSTED
    lines = ["[include]", "\tpath = /etc/gitconfig"]  # of the image, in whose place these are read
    for service in _SERVICES:
        host = f"{service}.{region}.amazonaws.com"
        lines += [f'[url "{base}{host}/"]', f"\tinsteadOf = https://{host}/"]
    lines += [f'[credential "{base.rstrip("/")}"]', "\tuseHttpPath = true", f"\thelper = !{shlex.quote(str(script))}"]
    settings = root / "gitconfig"
    settings.write_text("\n".join([*lines, ""]))
    return {"GIT_CONFIG_SYSTEM": str(settings)}
