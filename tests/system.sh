#!/bin/sh
# Install the system programs that only tests need, where that is allowed: apt as root or through passwordless sudo.
# `tests/system.sh image`: what `make test-image` needs instead.
# Elsewhere their tests are skipped with a notice; under CI=true a missing one is a failure (tests/conftest.py).
set -u
missing=""
if [ "${1:-}" = image ]; then
    PATH="$PATH:/usr/sbin:/sbin"
    command -v podman >/dev/null || missing="$missing podman"
    command -v debootstrap >/dev/null || missing="$missing debootstrap"
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing="$missing debian-archive-keyring"
    # crun, which comes with podman, refuses hybrid cgroups.
    [ -e /sys/fs/cgroup/cgroup.controllers ] || command -v runc >/dev/null || missing="$missing runc"
else
    command -v strace >/dev/null || missing="$missing strace"
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
        missing="$missing chromium"
    command -v prometheus >/dev/null || missing="$missing prometheus"
    command -v prometheus-alertmanager >/dev/null || missing="$missing prometheus-alertmanager"
    PATH="$PATH:/usr/sbin:/sbin"
    command -v sshd >/dev/null || missing="$missing openssh-server"
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || missing="$missing postgresql"
    command -v mariadbd >/dev/null || missing="$missing mariadb-server"
    command -v mosquitto >/dev/null || missing="$missing mosquitto"
    command -v localedef >/dev/null && [ -e /usr/share/i18n/locales/tr_TR ] || missing="$missing locales"
fi
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ]; then as_root=""; elif sudo -n true 2>/dev/null; then as_root="sudo -n"; else as_root="none"; fi
if [ "$as_root" = none ] || ! command -v apt-get >/dev/null; then
    echo "notice: not installed here:$missing; the tests that need it are skipped." >&2
    exit 0
fi
echo "installing$missing for the tests"
$as_root apt-get update -qq
for package in $missing; do # one by one: a name that this system does not know must not stop the others
    # As installed, these are servers that start at once, some on every interface. A person who wants them so says
    # `systemctl unmask`; the tests start their own.
    case $package in
        prometheus*|mosquitto) units="$package.service" ;;
        mariadb-server) units="mariadb.service" ;;
        openssh-server) units="ssh.service ssh.socket" ;;
        *) units="" ;;
    esac
    # shellcheck disable=SC2086
    [ -z "$units" ] || [ ! -d /run/systemd/system ] || $as_root systemctl --quiet mask $units
    if [ "$package" = postgresql ]; then # whose package makes a cluster, and starts it, unless it is told not to
        $as_root mkdir -p /etc/postgresql-common/createcluster.d
        echo "create_main_cluster = false" | $as_root tee /etc/postgresql-common/createcluster.d/hearth.conf >/dev/null
    fi
    $as_root apt-get install -y -qq --no-install-recommends "$package" >/dev/null ||
        echo "notice: could not install $package; the tests that need it are skipped." >&2
done
