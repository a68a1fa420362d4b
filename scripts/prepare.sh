# shellcheck shell=bash disable=SC2034
# What scripts/run and scripts/test share: the platform check, Debian's packages, the Python environment.
# Sourced, never run. Everything here is idempotent and takes well under 0.3 s when all is in place.

ROOT=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
VENV=$ROOT/.venv
export LC_ALL=${LC_ALL:-C.UTF-8}

# netbase: without /etc/protocols Kamailio cannot set its TCP options.
RUN_PACKAGES=(kamailio kamailio-tls-modules kamailio-extra-modules kamailio-json-modules
    netbase python3 python3-venv ca-certificates)
TEST_PACKAGES=(git baresip-core libnet-smpp-perl sip-tester postgresql sox softhsm2 systemd openssl iproute2
    nftables procps e2fsprogs gammu gammu-smsd swaks libnet-ssleay-perl strace)
FULL_PACKAGES=(debootstrap)

say() { printf '%s %s\n' "--" "$*"; }
fail() { # what is missing, then one line per remedy
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    shift
    local line
    for line in "$@"; do printf '    %s\n' "$line" >&2; done
    exit 1
}

check_platform() {
    local id=unknown version=unknown
    if [ -r /etc/os-release ]; then
        id=$(. /etc/os-release && echo "${ID:-unknown}")
        version=$(. /etc/os-release && echo "${VERSION_ID:-unknown}")
    fi
    case "$id $version $(uname -m)" in
    "debian 12 x86_64" | "ubuntu 24.04 x86_64") ;;
    *)
        fail "this machine is $id $version on $(uname -m); Beffroi runs on Debian 12 and Ubuntu 24.04 on x86_64." \
            "The media engine's packages exist for CPython 3.8 to 3.12 on x86_64 only, and these two systems ship 3.11 and 3.12." \
            "Take a machine, a virtual machine or a container with one of them."
        ;;
    esac
}

missing_packages() { # those of the named packages that are not installed, one a line
    local installed name
    installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p')
    for name in "$@"; do
        grep -qxF "$name" <<<"$installed" || echo "$name"
    done
}

as_root=() # the prefix of commands that need root
become_root() { # become_root WHAT...: how to run as root, or a clear end
    [ "$(id -u)" -ne 0 ] || return 0
    if command -v sudo >/dev/null; then
        as_root=(sudo)
        return 0
    fi
    fail "these Debian packages are missing and installing them needs root: $*" \
        "Become root and type:  apt-get update && apt-get install --no-install-recommends $*" \
        "then start this again as $(id -un)."
}

install_packages() { # install_packages NAME...: installs what is missing, starts no service of Debian's
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    become_root "${missing[@]}"
    say "installing from Debian: ${missing[*]}"

    # Debian's own kamailio.service would take the SIP ports at installation and at each boot: it never starts here.
    local unit=/etc/systemd/system/kamailio.service
    if [[ " ${missing[*]} " = *" kamailio "* ]] && [ ! -e $unit ]; then
        "${as_root[@]}" mkdir -p "${unit%/*}"
        "${as_root[@]}" ln -s /dev/null $unit
    fi
    # No service starts while we install (a database server for instance); the rule goes away afterwards.
    local policy=/usr/sbin/policy-rc.d held=
    if [ ! -e $policy ]; then
        held=yes
        trap 'remove_policy' EXIT
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
        "${as_root[@]}" chmod 755 $policy
    fi

    local lists log
    lists=$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' 2>/dev/null | head -1)
    log=$(mktemp)
    if [ -z "$lists" ] || ! apt_get install "${missing[@]}" >"$log" 2>&1; then
        say "reading Debian's package lists"
        apt_get update >"$log" 2>&1 || apt_failed "$log" "the package lists could not be read"
        apt_get install "${missing[@]}" >"$log" 2>&1 || apt_failed "$log" "apt-get could not install: ${missing[*]}"
    fi
    rm -f "$log"
    if [ -n "$held" ]; then
        remove_policy
        trap - EXIT
    fi
}

remove_policy() { "${as_root[@]}" rm -f /usr/sbin/policy-rc.d; }

apt_get() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 \
        -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confold --no-install-recommends "$@"
}

apt_failed() { # apt_failed LOG WHAT
    tail -n 15 "$1" >&2
    rm -f "$1"
    fail "$2 (apt's last words are above)." \
        "Check that /etc/apt names a mirror that this machine reaches and that the disk is not full, then start this again."
}

system_python() { # the path of a Python that fits
    local candidate
    for candidate in /usr/bin/python3 /usr/bin/python3.12 /usr/bin/python3.11 python3.12 python3.11 python3; do
        candidate=$(command -v "$candidate") || continue
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

stamp_of() { # stamp_of REQUIREMENTS...: changes when anything does that .venv was made from
    # The place is part of it, since an editable installation knows its directory; so is the interpreter.
    (
        cd "$ROOT" || exit 1
        { echo "$ROOT"; readlink -f /usr/bin/python3; sha256sum pyproject.toml "${@/#/requirements/}"; } | sha256sum
    )
}

up_to_date() { # up_to_date NAME STAMP
    [ -x "$VENV/bin/beffroi" ] && [ "$(cat "$VENV/.stamp-$1" 2>/dev/null)" = "$2" ]
}

prepare_python() { # prepare_python run|test: .venv holds the pinned packages of that purpose and this project
    local purpose=$1 files=(runtime.txt) stamp python file args=()
    [ "$purpose" = run ] || files+=(test.txt)
    stamp=$(stamp_of "${files[@]}")
    if up_to_date "$purpose" "$stamp"; then return 0; fi
    # Two first starts side by side take turns; the second finds all done.
    exec 9<"$ROOT/pyproject.toml"
    flock 9
    if up_to_date "$purpose" "$stamp"; then
        exec 9<&-
        return 0
    fi

    if ! "$VENV/bin/python" -c 'import pip' 2>/dev/null; then
        python=$(system_python) || fail "no Python 3.11 or 3.12 with its venv module was found." \
            "Type:  apt-get install python3 python3-venv   (Debian 12 has 3.11, Ubuntu 24.04 has 3.12)"
        say "making .venv with $("$python" --version)"
        rm -rf "$VENV"
        "$python" -m venv "$VENV" || fail "python3 -m venv failed." "Type:  apt-get install python3-venv"
    fi
    for file in "${files[@]}"; do args+=(-r "$ROOT/requirements/$file"); done
    say "installing pinned Python packages, each checked against its hash"
    rm -f "$VENV"/.stamp-*
    "$VENV/bin/python" -m pip install -qq --disable-pip-version-check --no-input --only-binary :all: \
        --require-hashes "${args[@]}" ||
        fail "pip could not install the Python packages (its last words are above)." \
            "If a hash does not match, a file was changed on its way: do not go on." \
            "Otherwise check that this machine reaches its package index (pip config list) and start this again."
    "$VENV/bin/python" -m pip install -qq --disable-pip-version-check --no-input --no-deps --no-index \
        --no-build-isolation --editable "$ROOT" || fail "the project itself could not be installed into .venv."
    echo "$stamp" >"$VENV/.stamp-$purpose"
    # What the tests need contains what the program needs.
    [ "$purpose" = run ] || stamp_of runtime.txt >"$VENV/.stamp-run"
    exec 9<&-
}

node_packages() { # Debian's packages that are missing for peers written for node; another node and npm do as well
    if command -v node >/dev/null && command -v npm >/dev/null; then return 0; fi
    echo nodejs
    echo npm
}

debian_packages() { # for tests that are skipped without them; Ubuntu's Chromium is a snap, and its Linphone was never tried
    if (. /etc/os-release && [ "${ID:-}" = debian ]); then printf '%s\n' chromium linphone-cli; fi
}

prepare_node() { # tests/peers/node holds the pinned npm packages, each checked against its hash
    local place=$ROOT/tests/peers/node stamp log
    stamp=$(sha256sum <"$place/package-lock.json")
    [ "$(cat "$place/node_modules/.stamp" 2>/dev/null)" != "$stamp" ] || return 0
    say "installing pinned npm packages for the tests"
    log=$(mktemp)
    if ! npm ci --prefix "$place" --ignore-scripts --no-audit --no-fund --loglevel=error >"$log" 2>&1; then
        tail -n 15 "$log" >&2
        rm -f "$log"
        fail "npm could not install the packages of tests/peers/node (its last words are above)." \
            "Check that this machine reaches its npm registry (npm config get registry) and start this again."
    fi
    rm -f "$log"
    echo "$stamp" >"$place/node_modules/.stamp"
}
