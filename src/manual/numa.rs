//! NUMA and core isolation: which cores, and who else is there.
//!
//! Not measured here: the machine of the records has one node and two cores that it shares with the
//! load generator. What this chapter says of several nodes, of isolated cores and of network cards
//! follows from how the broker is built and what the kernel documents; your own `blipmq bench`,
//! before and after, is what counts.
//!
//! # What is there
//!
//! ```sh
//! lscpu --extended=CPU,CORE,SOCKET,NODE
//! cat /sys/devices/system/node/node0/distance
//! cat /sys/devices/system/cpu/isolated
//! ```
//!
//! ```sh
//! blipmq doctor
//! ```
//!
//! `numa-nodes`, `isolated-cores`, `cpu-governor`, `cpu-quota` and `clocksource` in what `blipmq
//! doctor` prints are about this chapter.
//!
//! # Choosing cores
//!
//! The broker runs one pinned thread on each core it may use. All of these say which:
//!
//! ```sh broker
//! taskset -c 0 blipmq
//! ```
//!
//! ```sh broker
//! blipmq --cores 0
//! ```
//!
//! ```sh hardware
//! numactl --cpunodebind=0 --membind=0 blipmq --config config/node0.toml
//! ```
//!
//! `--cores`, or `server.cores`, chooses among what taskset, numactl, `CPUAffinity=` or a cpuset
//! leave. An executor never moves to another core.
//!
//! | choice | buys | does not |
//! |---|---|---|
//! | one executor per physical core | a core's whole caches and units | more from its second thread: sends are copies, and both threads share what copies |
//! | fewer cores than there are | a place for interrupts, the metrics thread and everything else | |
//! | more cores | connections and topics spread over them | a faster single topic: it is ordered by one core |
//!
//! # Several nodes
//!
//! Memory of another node is slower to reach, and what cores tell each other crosses the link
//! between. A broker that spans nodes works, and pays that on every message whose topic is owned
//! elsewhere. One broker per node pays it never, but topics are not shared between brokers: clients
//! choose one, such as by customer or by region.
//!
//! ```sh
//! deploy/numa-instances.sh --dry-run start
//! ```
//!
//! ```sh hardware
//! deploy/numa-instances.sh start
//! deploy/numa-instances.sh status
//! deploy/numa-instances.sh stop
//! ```
//!
//! It starts `numactl --cpunodebind=N --membind=N blipmq --config config/nodeN.toml` for each node.
//! `--membind` fails an allocation rather than take it from elsewhere, so leave the node more than
//! [`capacity`](super::capacity) says. A network card belongs to a node too: its clients are best
//! served there.
//!
//! ```sh hardware
//! cat /sys/class/net/eth0/device/numa_node
//! ```
//!
//! # Keeping others off
//!
//! Whatever else runs on an executor's core delays all its connections for as long as it runs: a
//! time slice of the scheduler is some milliseconds, a hundred times what a message takes. So this
//! is for the slowest percentile; the median hardly changes.
//!
//! ```sh
//! deploy/isolate-cores.sh --dry-run 0
//! ```
//!
//! ```sh root
//! deploy/isolate-cores.sh 2-7
//! deploy/isolate-cores.sh --undo
//! ```
//!
//! It moves interrupts, work queues and other processes off these cores until the next boot, sets
//! their governor, and prints what only the kernel's command line can do:
//!
//! | kernel parameter | keeps off |
//! |---|---|
//! | `isolcpus=managed_irq,domain,LIST` | processes, unless pinned there, and interrupts of drivers that place their own |
//! | `nohz_full=LIST` | the timer tick, while one thread alone runs there |
//! | `rcu_nocbs=LIST` | deferred work of the kernel |
//! | `irqaffinity=OTHERS` | interrupts of devices, from the boot on |
//!
//! With `isolcpus` nothing is put on these cores by itself, so start the broker there: `taskset -c
//! LIST`, or `CPUAffinity=LIST` in `deploy/blipmq.service`.
//!
//! A core that looks for arrivals before it sleeps (`server.busy_poll_us`) shares badly: on
//! isolated cores it may be raised up to 1,000, on crowded ones set to 0.
//!
//! # Interrupts
//!
//! The card's interrupts and the kernel's part of receiving run where the interrupt goes. On an
//! executor's core they take turns with it; on another core of the same node they do not, and cost
//! a move between caches instead. For latency: other cores, same node. For throughput on few cores:
//! try both.
//!
//! ```sh root
//! deploy/isolate-cores.sh --dry-run 2-7
//! cat /proc/interrupts
//! ```
//!
//! irqbalance moves them back unless told not to; the script says how.
//!
//! # Frequency
//!
//! A core that slept answers late while its frequency rises, and a broker with little to do sleeps
//! often. The governor `performance` ends that, and costs power. So do deep idle states, which
//! `cpupower idle-set --disable-by-latency 10` forbids, where the hardware is yours; virtual
//! machines have neither.
//!
//! ```sh hardware
//! cpupower frequency-set --governor performance
//! cpupower idle-set --disable-by-latency 10
//! ```
//!
//! # Huge pages
//!
//! Messages lie in many small batches, and reserved huge pages make a budget of several GiB need
//! fewer entries in the TLB. Not measured here; with the default budget do not expect to see it.
//! The allocator takes them if told to:
//!
//! ```sh
//! deploy/hugepages.sh --dry-run 512
//! ```
//!
//! ```sh root
//! deploy/hugepages.sh 512
//! MIMALLOC_ALLOW_LARGE_OS_PAGES=1 blipmq --config config/high-throughput.toml
//! ```
//!
//! Transparent huge pages are best at `madvise`: `always` gives small mappings 2 MiB each, and
//! stalls whoever needs one while pages are moved together. The script sets that too.
