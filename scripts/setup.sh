# Shared by run, test and lint: system packages, virtual environment, translations. Sourced, not executed.
# shellcheck shell=bash

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD
PYTHON=$ROOT/.venv/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUTF8=1

stop() {
    printf '\n%s\n' "$@" >&2
    exit 1
}

# as_root COMMAND…: directly or through sudo; fails quietly when neither is possible.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        command -v sudo >/dev/null && sudo "$@"
    fi
}

# install_packages PACKAGE…: with apt; fails quietly when that is impossible.
install_packages() {
    command -v apt-get >/dev/null && as_root true || return 1
    echo "Installing $* …"
    as_root apt-get -qq update || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@" >/dev/null
}

# install_without_service PACKAGE: only for its program; the service of the same name neither starts now nor at boot.
install_without_service() {
    # What Debian's packages ask before they start anything (invoke-rc.d(8), deb-systemd-invoke(1p)).
    local policy=/usr/sbin/policy-rc.d status=0 own_policy=
    as_root true || return 1
    if [ ! -e "$policy" ]; then
        own_policy=yes
        printf '#!/bin/sh\nexit 101\n' | as_root install -m 0755 /dev/stdin "$policy" || return 1
    fi
    install_packages "$1" || status=$?
    [ -z "$own_policy" ] || as_root rm -f "$policy"
    if [ "$status" -eq 0 ] && command -v systemctl >/dev/null; then
        as_root systemctl --quiet disable "$1" 2>/dev/null || true
    fi
    return "$status"
}

find_python() {
    local name
    for name in python3 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            command -v "$name"
            return
        fi
    done
    return 1
}

make_environment() {
    [ -x "$PYTHON" ] && "$PYTHON" -c 'import pip' 2>/dev/null && return
    local python
    if ! python=$(find_python); then
        install_packages python3 python3-venv || true
        python=$(find_python) || stop "Python 3.11 or newer is needed." \
            "Install it (for instance: apt-get install python3 python3-venv) and start this script again."
    fi
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        local version
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        install_packages "python$version-venv" || install_packages python3-venv || stop \
            "The Python module venv is missing." "Install the package python3-venv and start this script again."
    fi
    echo "Making the virtual environment .venv …"
    "$python" -m venv --clear .venv || stop "The virtual environment could not be made in $ROOT/.venv."
}

# install_requirements FILE: only when the file has changed since it was installed last.
install_requirements() {
    local file=$1 stamp=.venv/.installed-$1 wanted
    wanted=$(sha256sum <"$file")
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && return
    echo "Installing $file …"
    "$PYTHON" -m pip install --quiet --require-hashes --requirement "$file" || stop \
        "The packages of $file could not be installed." \
        "Check the connection to your package index (pip's own settings apply) and start this script again." \
        "If pip says that hashes do not match, the index delivered other files than those reviewed: do not install them."
    echo "$wanted" >"$stamp"
}

compile_translations() {
    local source stale=
    while IFS= read -r source; do
        [ "${source%.po}.mo" -nt "$source" ] || stale=yes
    done < <(find locale -name '*.po')
    [ -n "$stale" ] || return 0
    if ! command -v msgfmt >/dev/null && ! install_packages gettext; then
        echo "The package gettext is missing: everything will be in English." >&2
        return 0
    fi
    while IFS= read -r source; do
        msgfmt --output-file="${source%.po}.mo" "$source"
    done < <(find locale -name '*.po')
}
