#!/bin/sh
# Installs a release of Signpost, or another one beside it: `deploy/install.sh signpost-VERSION-py3-none-any.whl`.
#
# DESTDIR=/somewhere installs below that folder (a package, an image, a test) and touches nothing else.
# PYTHON is the interpreter to use. It may be run as often as one likes: configuration that is there is never
# written, releases that are there stay, and `current` is switched last and at once.
set -eu

if [ $# -ne 1 ] || [ ! -f "$1" ]; then
    echo "usage: [DESTDIR=/root/of/it] [PYTHON=python3] $0 WHEEL" >&2
    exit 2
fi
wheel=$1
source=$(cd "$(dirname "$0")/.." && pwd)
root=${DESTDIR:-}
python=${PYTHON:-python3}
version=$(basename "$wheel" | cut -d- -f2)
releases=$root/opt/signpost/releases
configuration=$root/etc/signpost

make_release() {
    [ -e "$releases/$version" ] && { echo "release $version is there already"; return; }
    mkdir -p "$releases"
    # Made where it is to be, since an environment cannot be moved; without its mark it is no release yet.
    draft=$releases/.$version
    rm -rf "$draft" "$releases/.$version.made"
    "$python" -m venv "$draft"
    "$draft/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r "$source/requirements.lock"
    "$draft/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-index "$wheel"
    at_home "$draft"
    mv "$draft" "$releases/$version"
}

at_home() { # at_home DRAFT: let its commands name the place where they will be run from
    for command in "$1"/bin/*; do
        if [ -f "$command" ] && [ ! -L "$command" ] && grep -qI "$1" "$command"; then
            sed -i "s|$1|/opt/signpost/releases/$version|g" "$command"
        fi
    done
    sed -i "s|$1|/opt/signpost/releases/$version|g" "$1/pyvenv.cfg"
}

keep() { # keep MODE FILE: make it from standard input, unless it is there
    if [ -e "$2" ]; then cat >/dev/null; return; fi
    cat >"$2.new"
    chmod "$1" "$2.new"
    mv "$2.new" "$2"
}

make_configuration() {
    mkdir -p "$configuration/secrets"
    chmod 755 "$configuration"
    chmod 700 "$configuration/secrets"
    for process in api relay console; do
        keep 644 "$configuration/$process.env" <"$source/deploy/etc/$process.env"
    done
    # Empty files are settings that are not set; `check-settings` says which must be.
    for secret in owner-database-url api-database-url relay-database-url console-database-url secret-keys \
        api-listen-database-url relay-listen-database-url email-providers sms-providers dkim-key \
        operator-webhook-url operator-webhook-key provision-database-url; do
        keep 600 "$configuration/secrets/$secret" </dev/null
    done
}

install_units() {
    mkdir -p "$root/etc/systemd/system"
    install -m 644 "$source"/deploy/systemd/*.service "$root/etc/systemd/system/"
}

switch_to_release() {
    ln -sfn "releases/$version" "$root/opt/signpost/current.new"
    mv -T "$root/opt/signpost/current.new" "$root/opt/signpost/current"
}

make_release
make_configuration
install_units
switch_to_release
[ -n "$root" ] || systemctl daemon-reload
echo "signpost $version is installed; docs/running.md says what to fill in, and what to start"
