//! NUMA and core isolation: which cores to use, and how to keep other work off them.
//!
//! None of this was measured here: the machine of the records has one node and two cores, which the
//! broker shares with the load generator. What this chapter says about several nodes, isolated cores and
//! network cards follows from the design of the broker and from the documentation of the kernel. Rely on
//! your own `blipmq bench`, before and after.
//!
//! # Look at the machine
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
//! The lines `numa-nodes`, `isolated-cores`, `cpu-governor`, `cpu-quota` and `clocksource` of `blipmq
//! doctor` belong to this chapter.
//!
//! # Choosing cores
//!
//! The broker runs one pinned thread on each core that it may use. Each of these chooses the cores:
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
//! `--cores` or `server.cores` chooses among the cores that taskset, numactl, `CPUAffinity=` or a cpuset
//! allow. An executor never moves to another core.
//!
//! | choice | gives | does not give |
//! |---|---|---|
//! | one executor per physical core | all caches and units of the core | more throughput from the second thread: sends are copies, and both threads share the units that copy |
//! | fewer cores than there are | a place for interrupts, the metrics thread and everything else | |
//! | more cores | connections and topics spread over them | a faster single topic: it is ordered by one core |
//!
//! # Several nodes
//!
//! Memory of another node is slower to reach, and mesh messages between cores cross the link between the
//! nodes. A broker that spans nodes works, and pays that price for every message whose topic is owned on
//! the other node. One broker per node never pays it, but brokers do not share topics: clients choose
//! one, for example by customer or by region.
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
//! The script starts `numactl --cpunodebind=N --membind=N blipmq --config config/nodeN.toml` for each
//! node. With `--membind` an allocation fails rather than take memory of another node, so leave the node
//! more memory than [`capacity`](super::capacity) says. A network card belongs to a node too: serve its
//! clients there.
//!
//! ```sh hardware
//! cat /sys/class/net/eth0/device/numa_node
//! ```
//!
//! # Keeping other work off
//!
//! Everything else that runs on an executor's core delays all connections of that core: a time slice of
//! the scheduler is some milliseconds, a hundred times as long as a message takes. So isolation improves
//! the slowest percentile; the median hardly changes.
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
//! The script moves interrupts, work queues and other processes off these cores until the next boot,
//! sets the governor of the cores, and prints what only the kernel's command line can do:
//!
//! | kernel parameter | keeps off |
//! |---|---|
//! | `isolcpus=managed_irq,domain,LIST` | processes, unless pinned there, and interrupts of drivers that place their interrupts themselves |
//! | `nohz_full=LIST` | the timer tick, while one thread alone runs there |
//! | `rcu_nocbs=LIST` | deferred work of the kernel |
//! | `irqaffinity=OTHERS` | interrupts of devices, from boot on |
//!
//! With `isolcpus` the scheduler puts nothing on these cores, so start the broker there explicitly:
//! `taskset -c LIST`, or `CPUAffinity=LIST` in `deploy/blipmq.service`.
//!
//! A core that polls for arrivals before it sleeps (`server.busy_poll_us`) is a bad neighbour. Raise the
//! value up to 1,000 on isolated cores, and set it to 0 on shared ones.
//!
//! # Interrupts
//!
//! The interrupts of a card, and the kernel's part of receiving, run on the core that the interrupt goes
//! to. On an executor's core they compete with the executor. On another core of the same node they do
//! not, but the data moves between caches. For latency use other cores of the same node. For throughput
//! on few cores try both.
//!
//! ```sh root
//! deploy/isolate-cores.sh --dry-run 2-7
//! cat /proc/interrupts
//! ```
//!
//! irqbalance moves interrupts back unless it is configured not to; the script says how.
//!
//! # Frequency
//!
//! After a sleep a core is slow until its frequency has risen, and a broker with little work sleeps
//! often. The governor `performance` prevents that, at the price of power. Deep idle states cause a
//! delay too; `cpupower idle-set --disable-by-latency 10` forbids them on your own hardware. Virtual
//! machines have neither.
//!
//! ```sh hardware
//! cpupower frequency-set --governor performance
//! cpupower idle-set --disable-by-latency 10
//! ```
//!
//! # Huge pages
//!
//! Messages lie in many small batches. With reserved huge pages a budget of several GiB needs fewer
//! entries in the TLB. This was not measured here; do not expect to see an effect with the default
//! budget. A variable makes the allocator use them:
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
//! The best mode of transparent huge pages is `madvise`: `always` gives small mappings 2 MiB each, and
//! stalls a process that needs a huge page while the kernel moves pages together. The script sets that
//! mode too.
