#!/usr/bin/env bash
# Keeps other work off the CPUs of a broker, without a reboot.
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=changes.sh
. "$(dirname "${BASH_SOURCE[0]}")/changes.sh"

usage() {
    cat <<'EOT'
Usage: isolate-cores.sh [--dry-run] CPUS
       isolate-cores.sh [--dry-run] --undo

Reserves CPUS, a list like 2-7 or 2,3,10-11, for the broker that is started on them, and moves as much
other work as possible to the other CPUs. Needs root.

  interrupts    /proc/irq/*/smp_affinity_list, and default_smp_affinity for new ones
  work queues   /sys/devices/virtual/workqueue/cpumask
  processes     AllowedCPUs of system.slice, user.slice, machine.slice and init.scope under systemd,
                else cpuset.cpus of each top-level control group but blipmq*
  frequency     the governor "performance" on CPUS

  --dry-run   print what would be done, change nothing; needs no root
  --undo      restore all settings that this script changed since the boot
  --help      this text

A second run with the same CPUS also moves work that has started since; for other CPUS run --undo first.
The changes last until the next boot; the earlier settings are in /run/blipmq/isolate-cores.before. The
script ends by printing the settings that only the kernel's command line can make.

The broker must be allowed to use CPUS, as blipmq.service is in its own slice. Leave at least the CPUs
that serve the network card to other work.

Environment: SYSFS (default /sys), PROCFS (default /proc), RUN (default /run) and STATE_DIR (default
/run/blipmq), for tests.
EOT
}

readonly sysfs=${SYSFS:-/sys} procfs=${PROCFS:-/proc} run=${RUN:-/run}
readonly cgroups=$sysfs/fs/cgroup

# --- lists like "0,2-3" and masks like "f,ffffffff", both as "0 2 3" ---

expanded() {
    local part cpu
    local -a numbers=()
    # systemd puts spaces between, the kernel commas.
    for part in ${1//,/ }; do
        [[ "$part" =~ ^([0-9]{1,5})(-([0-9]{1,5}))?$ ]] || return 1
        for ((cpu = 10#${BASH_REMATCH[1]}; cpu <= 10#${BASH_REMATCH[3]:-${BASH_REMATCH[1]}}; cpu++)); do
            numbers+=("$cpu")
        done
    done
    echo "${numbers[*]}"
}

unmasked() {
    local -a groups numbers=()
    local index bit value
    IFS=, read -ra groups <<<"$1"
    for ((index = 0; index < ${#groups[@]}; index++)); do
        # The last group is that of CPUs 0 to 31.
        value=$((16#${groups[${#groups[@]} - 1 - index]}))
        for ((bit = 0; bit < 32; bit++)); do
            if ((value >> bit & 1)); then numbers+=($((index * 32 + bit))); fi
        done
    done
    echo "${numbers[*]}"
}

list_of() {
    local text="" cpu first="" last=""
    for cpu in "$@"; do
        if [ -n "$last" ] && [ "$cpu" -eq $((last + 1)) ]; then
            last=$cpu
            continue
        fi
        [ -z "$first" ] || text+=,$first$([ "$first" = "$last" ] || echo "-$last")
        first=$cpu last=$cpu
    done
    [ -z "$first" ] || text+=,$first$([ "$first" = "$last" ] || echo "-$last")
    echo "${text#,}"
}

mask_of() {
    local text cpu index
    local -a groups=() used
    for cpu in "$@"; do groups[cpu / 32]=$((${groups[cpu / 32]:-0} | 1 << cpu % 32)); done
    used=("${!groups[@]}")
    # Zeros lead in all groups but the first, as the kernel prints them.
    text=$(printf %x "${groups[${used[-1]}]}")
    for ((index = used[-1] - 1; index >= 0; index--)); do
        text+=$(printf ,%08x "${groups[index]:-0}")
    done
    echo "$text"
}

# The given CPUs without the isolated ones; all other CPUs if none remain.
remaining() {
    local cpu
    local -a staying=()
    for cpu in "$@"; do
        if [ -z "${is_isolated[$cpu]:-}" ]; then staying+=("$cpu"); fi
    done
    if [ ${#staying[@]} -gt 0 ]; then echo "${staying[*]}"; else echo "${others[*]}"; fi
}

# --- changes ---

# The new value of a file of CPUs, as a "list" or a "mask"; empty if the present one is fine.
wanted_value() {
    local form=$1 now=$2 cpus staying
    if [ "$form" = list ]; then cpus=$(expanded "$now"); else cpus=$(unmasked "$now"); fi
    # shellcheck disable=SC2086 # numbers with spaces between
    staying=$(remaining $cpus)
    [ "$staying" != "$cpus" ] || return 0
    # shellcheck disable=SC2086
    "${form}_of" $staying
}

interrupts() {
    local file now value moved=0 fine=0 bound=0
    for file in "$procfs"/irq/*/smp_affinity_list; do
        # An interrupt may disappear meanwhile.
        { now=$(<"$file"); } 2>/dev/null || continue
        value=$(wanted_value list "$now")
        if [ -z "$value" ]; then
            fine=$((fine + 1))
        elif change_file "$file" "$now" "$value"; then
            moved=$((moved + 1))
        else
            bound=$((bound + 1))
        fi
    done
    echo "interrupts: $moved $($dry_run && echo to move || echo moved), $fine elsewhere already," \
        "$bound that the kernel keeps where they are"
    if pgrep -x irqbalance >/dev/null 2>&1; then
        echo "irqbalance is running and would move them back: put IRQBALANCE_BANNED_CPULIST=$list into" \
            "/etc/default/irqbalance (or /etc/sysconfig/irqbalance) and restart it"
    fi
}

# A file with a mask of CPUs, which every kernel lets root write.
mask_file() {
    local title=$1 file=$2 now value
    if [ ! -e "$file" ]; then
        echo "$title: $file is not in this kernel, left alone"
        return
    fi
    now=$(<"$file")
    value=$(wanted_value mask "$now")
    if [ -z "$value" ]; then
        echo "$title: elsewhere already"
    elif change_file "$file" "$now" "$value"; then
        $dry_run || echo "$title: moved to CPUs $(list_of "${others[@]}")"
    else
        fail "cannot write $value to $file; run as root on the machine itself, not in a container; --undo restores what was changed"
    fi
}

slices_of_systemd() {
    local unit now value
    for unit in system.slice user.slice machine.slice init.scope; do
        [ "$(systemctl show --property=LoadState --value "$unit")" = loaded ] || continue
        now=$(systemctl show --property=AllowedCPUs --value "$unit")
        # Empty is every CPU.
        value=$(wanted_value list "${now:-$online}")
        if [ -z "$value" ]; then
            echo "processes: $unit is elsewhere already"
        elif $dry_run; then
            echo "would run: systemctl set-property --runtime $unit AllowedCPUs=$value"
        else
            remember slice "$unit" "$now"
            systemctl set-property --runtime "$unit" "AllowedCPUs=$value" ||
                fail "systemd does not set AllowedCPUs of $unit, see above; --undo restores what was changed"
            echo "processes: $unit moved to CPUs $value"
        fi
    done
}

control_groups() {
    local file now value found=0
    for file in "$cgroups"/*/cpuset.cpus; do
        if [ ! -e "$file" ] || [[ "$file" == "$cgroups"/blipmq*/* ]]; then continue; fi
        found=$((found + 1))
        now=$(<"$file")
        value=$(wanted_value list "${now:-$online}")
        [ -n "$value" ] || continue
        change_file "$file" "$now" "$value" ||
            fail "cannot write $value to $file; run as root; --undo restores what was changed"
    done
    echo "processes: $found control groups with CPUs of their own, now all elsewhere"
}

processes() {
    if ! grep -qw cpuset "$cgroups/cgroup.controllers" 2>/dev/null; then
        echo "processes: left where they are, $cgroups/cgroup.controllers has no cpuset (control groups" \
            "of version 2 are needed); start the others under: taskset -c $(list_of "${others[@]}")"
    elif [ -d "$run/systemd/system" ] && command -v systemctl >/dev/null; then
        slices_of_systemd
    else
        control_groups
    fi
}

governors() {
    local cpu file now changed=0 fine=0 without=0
    for cpu in "${isolated[@]}"; do
        file=$sysfs/devices/system/cpu/cpu$cpu/cpufreq/scaling_governor
        if [ ! -e "$file" ]; then
            without=$((without + 1))
            continue
        fi
        now=$(<"$file")
        if [ "$now" = performance ]; then
            fine=$((fine + 1))
        elif change_file "$file" "$now" performance; then
            changed=$((changed + 1))
        else
            fail "cannot write performance to $file; run as root; --undo restores what was changed"
        fi
    done
    echo "frequency: $changed CPUs $($dry_run && echo to set || echo set) to performance, $fine were" \
        "already, $without have no governor"
}

# Warns of isolated CPUs whose sibling thread does other work.
siblings() {
    local cpu sibling together
    for cpu in "${isolated[@]}"; do
        together=$(cat "$sysfs/devices/system/cpu/cpu$cpu/topology/thread_siblings_list" 2>/dev/null || true)
        for sibling in $(expanded "$together"); do
            if [ -z "${is_online[$sibling]:-}" ] || [ -n "${is_isolated[$sibling]:-}" ]; then continue; fi
            echo "CPU $cpu shares its core with CPU $sibling, which keeps its work: isolate both, or neither"
        done
    done
}

next_boot() {
    local rest
    rest=$(list_of "${others[@]}")
    cat <<EOT

Kernel threads and the timer tick stay on CPUs $list: only the kernel's command line moves them. Add
this to it (GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub or grub2-mkconfig) and reboot:

    isolcpus=managed_irq,domain,$list nohz_full=$list rcu_nocbs=$list irqaffinity=$rest

With isolcpus no process runs on these CPUs unless it is pinned to them: start the broker under
"taskset -c $list", or with CPUAffinity=$list in blipmq.service.
EOT
}

# --- the command line ---

take_arguments "list of CPUs" "$@"
list=$given
[ -n "$list" ] || fail "give a list of CPUs, like 2-7; see --help" 2
asked=""
if [[ "$list" != *" "* ]]; then asked=$(expanded "$list" | tr ' ' '\n' | sort -nu || true); fi
[[ "$asked" == *[0-9]* ]] || fail "\"$list\" is not a list of CPUs; write 2-7 or 2,3,10-11" 2
mapfile -t isolated <<<"$asked"
list=$(list_of "${isolated[@]}")

online=$(<"$sysfs/devices/system/cpu/online")
read -ra online_cpus <<<"$(expanded "$online")"
declare -A is_online=() is_isolated=()
for cpu in "${online_cpus[@]}"; do is_online[$cpu]=yes; done
for cpu in "${isolated[@]}"; do
    [ -n "${is_online[$cpu]:-}" ] || fail "CPU $cpu is not online, the online CPUs are $online"
    is_isolated[$cpu]=yes
done
others=()
for cpu in "${online_cpus[@]}"; do
    if [ -z "${is_isolated[$cpu]:-}" ]; then others+=("$cpu"); fi
done
[ ${#others[@]} -gt 0 ] ||
    fail "CPUs $list are all CPUs; other work needs at least one, so leave one out"
readonly list online isolated others

if [ -e "$state" ]; then
    earlier=$(sed -n 's/^cpus\tisolated\t//p' "$state")
    [ "$earlier" = "$list" ] ||
        fail "CPUs $earlier are isolated already; run --undo first, then isolate CPUs $list"
fi
if ! $dry_run; then
    [ -w "$procfs/irq/default_smp_affinity" ] ||
        fail "cannot write to $procfs/irq/default_smp_affinity; run as root on the machine itself, not in a container"
    remember cpus isolated "$list"
fi

echo "CPUs $list for the broker, $(list_of "${others[@]}") for everything else"
interrupts
mask_file "new interrupts" "$procfs/irq/default_smp_affinity"
mask_file "work queues" "$sysfs/devices/virtual/workqueue/cpumask"
processes
governors
siblings
next_boot
