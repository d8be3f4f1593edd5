#!/bin/sh
# Installs a release of Signpost next to earlier ones: `deploy/install.sh signpost-VERSION-py3-none-any.whl`.
#
# DESTDIR=/somewhere installs below that folder only, for a package, an image or a test. PYTHON is the interpreter to use,
# by default the system's. You can run the script repeatedly: it keeps existing configuration and releases, and
# switches `current` last, in one step.
set -eu
# The units' temporary users must be able to read the files, whatever umask the caller has.
umask 022

usage() {
    echo "usage: [DESTDIR=/root/of/it] [PYTHON=python3] $0 signpost-VERSION-py3-none-any.whl" >&2
    exit 2
}

[ $# -ge 1 ] || usage
if [ $# -gt 1 ]; then
    echo "install: name one wheel, not $#: $*" >&2
    exit 2
fi
if [ ! -f "$1" ]; then
    echo "install: there is no file $1" >&2
    exit 2
fi
wheel=$1
version=$(basename "$wheel" | sed -n 's/^signpost-\([0-9A-Za-z.+!]*\)-[^/]*\.whl$/\1/p')
[ -n "$version" ] || usage
if [ -z "${DESTDIR:-}" ] && [ "$(id -u)" != 0 ]; then
    echo "install: only root can install here; use DESTDIR=/somewhere to install below another folder" >&2
    exit 1
fi
source=$(cd "$(dirname "$0")/.." && pwd)
is_fit() { "$1" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
# Prefer the system's Python if it is new enough: a version manager's may be in a folder that units cannot read.
if [ -n "${PYTHON:-}" ]; then python=$PYTHON; elif is_fit /usr/bin/python3; then python=/usr/bin/python3; else python=python3; fi
home=$(readlink -m "$(command -v "$python" || echo "$python")")
case ${DESTDIR:+a package}$home in
    /root/* | /home/* | /run/user/*)
        echo "install: $home is hidden from the units (ProtectHome=): set PYTHON=/usr/bin/python3, or another one outside of home folders" >&2
        exit 1
        ;;
esac
root=
if [ -n "${DESTDIR:-}" ]; then
    mkdir -p "$DESTDIR"
    # An absolute path without a trailing slash, as the virtual environment writes it into its commands.
    root=$(cd "$DESTDIR" && pwd)
    root=${root%/}
fi
releases=$root/opt/signpost/releases
draft=$releases/.draft
configuration=$root/etc/signpost

one_at_a_time() { # Two installations at once would use the same draft folder.
    mkdir -p "$releases"
    exec 9>"$releases/.lock"
    flock --nonblock 9 && return
    echo "waiting for another installation to end"
    flock 9
}

make_release() {
    # Remove the draft of an installation that was killed.
    rm -rf "$draft"
    [ -e "$releases/$version" ] && { echo "release $version is there already"; return; }
    # A draft until it is complete, so that a folder with a version is always complete.
    trap 'rm -rf "$draft"' EXIT
    "$python" -m venv "$draft"
    "$draft/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r "$source/requirements.lock"
    "$draft/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-index "$wheel"
    at_home
    mv "$draft" "$releases/$version"
}

at_home() { # Replace the draft's path in the commands by the final one.
    here=$(printf '%s' "$draft" | sed 's/[][\.*^$|]/\\&/g')
    for file in "$draft"/bin/* "$draft/pyvenv.cfg"; do
        if [ -f "$file" ] && [ ! -L "$file" ] && grep -qIF "$draft" "$file"; then
            sed -i "s|$here|/opt/signpost/releases/$version|g" "$file"
        fi
    done
}

keep() { # keep MODE FILE: create it from standard input, unless it exists
    if [ -e "$2" ]; then cat >/dev/null; return; fi
    cat >"$2.new"
    chmod "$1" "$2.new"
    mv "$2.new" "$2"
}

make_configuration() {
    mkdir -p "$configuration/secrets"
    chmod 755 "$configuration"
    chmod 700 "$configuration/secrets"
    for process in api relay console receiver callbacks; do
        keep 644 "$configuration/$process.env" <"$source/deploy/etc/$process.env"
    done
    # Empty files count as unset settings; `check-settings` lists the required ones.
    for secret in owner-database-url api-database-url relay-database-url console-database-url secret-keys \
        relay-listen-database-url email-providers sms-providers dkim-key \
        operator-webhook-url operator-webhook-key provision-database-url \
        receiver-database-url feedback-keys organization-keys bounce-imap-url twilio-auth-token \
        mailgun-webhook-key postmark-webhook-login resend-webhook-secret brevo-webhook-login; do
        keep 600 "$configuration/secrets/$secret" </dev/null
    done
}

install_units() {
    mkdir -p "$root/etc/systemd/system"
    install -m 644 "$source"/deploy/systemd/*.service "$source"/deploy/systemd/*.socket "$root/etc/systemd/system/"
}

install_tools() {
    mkdir -p "$root/usr/local/sbin"
    install -m 755 "$source/deploy/bin/signpost-run" "$root/usr/local/sbin/"
}

install_manual() { # Manual pages and shell completions of all commands.
    (cd "$source/deploy/share" && find . -type f -exec install -D -m 644 {} "$root/usr/local/share/{}" \;)
}

switch_to_release() {
    ln -sfn "releases/$version" "$root/opt/signpost/current.new"
    mv -T "$root/opt/signpost/current.new" "$root/opt/signpost/current"
}

one_at_a_time
make_release
make_configuration
install_units
install_tools
install_manual
switch_to_release
if [ -z "${DESTDIR:-}" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
echo "signpost $version is installed; docs/guides/systemd.md lists the next steps"
