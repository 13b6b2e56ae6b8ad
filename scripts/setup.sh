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

# install_packages PACKAGE…: with apt, as root or through sudo; fails quietly when that is impossible.
install_packages() {
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || return 1
        as_root=(sudo)
    fi
    command -v apt-get >/dev/null || return 1
    echo "Installing $* …"
    "${as_root[@]}" apt-get -qq update || true
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@" >/dev/null
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
