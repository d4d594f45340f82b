#!/usr/bin/env bash
# Run by the systemd of systemd-lab.sh beside the broker: asks and tries, and prints NAME VALUE lines.
set -u

show() { systemctl show blipmq.service --property="$1" --value; }

# Waits until the unit is in one of these states, for at most 30 s.
until_state() {
    local state
    for _ in $(seq 300); do
        state=$(show ActiveState)
        for wanted in "$@"; do [ "$state" = "$wanted" ] && return; done
        sleep 0.1
    done
}

until_state active failed
echo "state $(show ActiveState)"
echo "result $(show Result) $(show ExecMainStatus)"
echo "group $(show ControlGroup)"
echo "watchdog $(show WatchdogUSec)"
pid=$(show MainPID)
echo "user $(awk '$1 == "Uid:" { print $2 }' "/proc/$pid/status")"
echo "capabilities $(awk '$1 == "CapBnd:" { print $2 }' "/proc/$pid/status")"
echo "seccomp $(awk '$1 == "Seccomp:" { print $2 }' "/proc/$pid/status")"
echo "metrics $(exec 3<>/dev/tcp/127.0.0.1/9090 && printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3 && head -n 1 <&3)"

if [ "$(show Type)" = notify ]; then
    systemctl reload blipmq.service
    echo "reload $?"
    # systemd may show "reloading" until the broker sends READY=1 again.
    until_state active failed inactive
    echo "reloaded $(show ActiveState) $([ "$(show MainPID)" = "$pid" ] && echo same || echo other)"
    cp /etc/blipmq/blipmq.toml /etc/blipmq/good.toml
    echo 'nonsense = 1' >>/etc/blipmq/blipmq.toml
    systemctl reload blipmq.service 2>/dev/null
    echo "bad-reload $?"
    echo "bad-reloaded $(show ActiveState) $([ "$(show MainPID)" = "$pid" ] && echo same || echo other)"
    cp /etc/blipmq/good.toml /etc/blipmq/blipmq.toml
    # The watchdog ends a stopped broker, and systemd starts it again.
    kill -STOP "$pid"
    for _ in $(seq 600); do
        [ "$(show NRestarts)" = 0 ] || break
        sleep 0.1
    done
    until_state active failed
    echo "watched $(show ActiveState) $(show NRestarts)"
fi

systemctl stop blipmq.service
echo "stopped $(show ActiveState) $(show Result)"
systemctl exit 0
