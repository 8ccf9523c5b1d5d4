#!/bin/sh
# Installs the Debian packages that tests use beside what is in .venv. `make test` runs it.
#
# Each line of PARTS is "package command": the package is wanted when the command is not there. A test that needs one is
# marked @pytest.mark.system("command"); without the command it is skipped, and under CI=true it fails (tests/conftest.py).
# May be run again at any time; does nothing where nothing is missing.
set -eu

PARTS="
curl curl
openssh-server /usr/sbin/sshd
shellcheck shellcheck
systemd systemd-analyze
"

missing=""
for part in $(echo "$PARTS" | awk 'NF == 2 { print $1 ":" $2 }'); do
  command -v "${part#*:}" >/dev/null 2>&1 || missing="$missing ${part%%:*}"
done

if [ -z "$missing" ]; then
  echo "System parts: nothing is missing." >&2
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "System parts: installing$missing" >&2
  # A server that is installed must not begin to listen: tests start their own, on loopback.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
  fi
  apt-get update -qq >&2
  # shellcheck disable=SC2086 # a list of names
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2
else
  echo "System parts: not installed (needs root and apt-get):$missing" >&2
  echo "The tests that need them are not run; pytest's summary names them." >&2
fi
