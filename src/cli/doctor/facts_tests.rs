//! Facts for the tests of the checks, and tests of how facts are read, from trees that are made.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A tree of files, gone when dropped.
pub struct Made(PathBuf);

impl Made {
    pub fn new() -> Made {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("blipmq-doctor-{}-{number}", std::process::id());
        let root = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&root).expect("a folder can be made");
        Made(root)
    }

    pub fn tree(&self) -> Tree {
        Tree(self.0.clone())
    }

    fn beside(&self, path: &str) -> PathBuf {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().expect("it is in the tree")).expect("a folder");
        path
    }

    pub fn write(&self, path: &str, text: &str) {
        std::fs::write(self.beside(path), text).expect("a file can be written");
    }

    pub fn link(&self, path: &str, target: &str) {
        std::os::unix::fs::symlink(target, self.beside(path)).expect("a link can be made");
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Facts {
    /// A machine with nothing to change, for a broker with the defaults on cores 2 and 3.
    pub fn good() -> Facts {
        let enough = Limit { soft: 1 << 20, hard: 1 << 20, enough: true };
        let performance = || Ok(Governor { name: "performance".to_owned(), preference: None });
        let port = |key, port| Port {
            key,
            address: ([127, 0, 0, 1], port).into(),
            bound: Ok(()),
            holders: vec![],
        };
        Facts {
            release: Ok("6.12.5".to_owned()),
            rings: Ok(()),
            locked_memory: enough,
            open_files: enough,
            cpus: Ok(vec![2, 3]),
            cores: 2,
            ports: vec![
                port("server.bind_addr", 7878),
                port("nats.bind_addr", 4222),
                port("metrics.bind_addr", 9090),
            ],
            sysctls: sysctls::keys()
                .map(|key| match key {
                    "net.ipv4.tcp_rmem" | "net.ipv4.tcp_wmem" => (key, Ok(vec![1 << 25; 3])),
                    sysctls::SWAPPINESS => (key, Ok(vec![1])),
                    _ => (key, Ok(vec![1 << 25])),
                })
                .collect(),
            nodes: Ok(vec![Node { id: 0, cpus: vec![0, 1, 2, 3], distances: vec![10] }]),
            online: Ok(vec![0, 1, 2, 3]),
            isolated: Ok(vec![2, 3]),
            nohz_full: vec![2, 3],
            others: None,
            governors: vec![(2, performance()), (3, performance())],
            clocksource: Ok("tsc".to_owned()),
            clocksources: vec!["tsc".to_owned()],
            transparent_huge_pages: Ok("madvise".to_owned()),
            huge_pages: Ok(HugePages { reserved: 0, free: 0 }),
            huge_pages_asked: false,
            swap: Ok(0),
            memory: Ok(64 << 30),
            group: Ok(Group::default()),
        }
    }

    /// The same machine, from an empty tree.
    pub fn unreadable() -> Facts {
        let made = Made::new();
        let mut settings = Settings::default();
        for bind_addr in [
            &mut settings.server.bind_addr,
            &mut settings.nats.bind_addr,
            &mut settings.metrics.bind_addr,
        ] {
            bind_addr.set_port(0);
        }
        let good = Facts::good();
        Facts {
            rings: good.rings,
            locked_memory: good.locked_memory,
            open_files: good.open_files,
            huge_pages_asked: false,
            ..Facts::read(&made.tree(), &settings)
        }
    }
}

#[test]
fn lists_are_numbers_and_ranges_and_may_be_empty() {
    assert_eq!(parse_list("0,2-3,7"), Some(vec![0, 2, 3, 7]));
    assert_eq!(parse_list(""), Some(vec![]));
    assert_eq!(parse_list("0-511").map(|list| list.len()), Some(512));
    for bad in ["a", "1-", "1-2-3", "0 1"] {
        assert_eq!(parse_list(bad), None, "{bad}");
    }
    let made = Made::new();
    // As kernels of some years print that there are none.
    made.write("none", " (null)\n");
    assert_eq!(made.tree().list("none"), Ok(vec![]));
}

#[test]
fn what_is_no_number_is_told_with_the_file_and_its_text() {
    let made = Made::new();
    made.write("numbers", "4096\t131072\t33554432\n");
    made.write("words", "many\n");
    made.write("empty", "\n");
    assert_eq!(made.tree().numbers("numbers"), Ok(vec![4_096, 131_072, 33_554_432]));
    let reason = made.tree().numbers("words").expect_err("no number");
    assert!(reason.ends_with("words says \"many\", which is no number"), "{reason}");
    assert!(made.tree().numbers("empty").is_err());
    let reason = made.tree().numbers("missing").expect_err("no file");
    assert!(reason.starts_with("cannot read ") && reason.ends_with("it is not there"), "{reason}");
}

#[test]
fn nodes_are_those_online_with_their_cores_and_distances() {
    let made = Made::new();
    let folder = "sys/devices/system/node";
    made.write(&format!("{folder}/online"), "0,2\n");
    for (id, cpus, distances) in [(0, "0-1", "10 21"), (2, "", "21 10")] {
        made.write(&format!("{folder}/node{id}/cpulist"), &format!("{cpus}\n"));
        made.write(&format!("{folder}/node{id}/distance"), &format!("{distances}\n"));
    }
    let node = |id, cpus, distances| Node { id, cpus, distances };
    let expected = vec![node(0, vec![0, 1], vec![10, 21]), node(2, vec![], vec![21, 10])];
    assert_eq!(nodes(&made.tree()), Ok(expected));
}

#[test]
fn the_mode_of_transparent_huge_pages_stands_in_brackets() {
    let made = Made::new();
    let path = "sys/kernel/mm/transparent_hugepage/enabled";
    made.write(path, "always [madvise] never\n");
    assert_eq!(transparent_huge_pages(&made.tree()), Ok("madvise".to_owned()));
    made.write(path, "always\n");
    assert!(transparent_huge_pages(&made.tree()).is_err());
}

#[test]
fn swap_is_summed_over_its_files_and_memory_is_all_there_is() {
    let made = Made::new();
    let header = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
    made.write("proc/swaps", header);
    assert_eq!(swap(&made.tree()), Ok(0));
    let lines = "/dev/sda2 partition 1024 0 -2\n/swapfile file 512 12 -3\n";
    made.write("proc/swaps", &format!("{header}{lines}"));
    assert_eq!(swap(&made.tree()), Ok(1_536 * 1_024));
    made.write("proc/meminfo", "MemTotal:       2048 kB\nMemFree:        1 kB\n");
    assert_eq!(memory(&made.tree()), Ok(2_048 * 1_024));
    made.write("proc/meminfo", "MemFree:        1 kB\n");
    assert!(memory(&made.tree()).is_err());
}

#[test]
fn the_tightest_bound_of_a_group_and_those_above_it_counts() {
    let made = Made::new();
    assert!(group(&made.tree()).is_err());
    made.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
    made.write("proc/self/cgroup", "1:name=systemd:/\n0::/pod/one\n");
    assert_eq!(group(&made.tree()), Ok(Group::default()));
    made.write("sys/fs/cgroup/cpu.max", "400000 100000\n");
    made.write("sys/fs/cgroup/pod/cpu.max", "150000 100000\n");
    made.write("sys/fs/cgroup/pod/one/cpu.max", "max 100000\n");
    made.write("sys/fs/cgroup/pod/one/memory.max", "1000\n");
    made.write("sys/fs/cgroup/pod/memory.max", "2000\n");
    made.write("sys/fs/cgroup/memory.max", "max\n");
    assert_eq!(group(&made.tree()), Ok(Group { cpus: Some(1.5), memory: Some(1_000) }));
}

#[test]
fn cpus_of_others_are_those_of_all_groups_at_the_top_but_the_brokers() {
    let made = Made::new();
    assert_eq!(others(&made.tree()), None);
    let file = |group: &str| format!("sys/fs/cgroup/{group}/cpuset.cpus.effective");
    made.write(&file("blipmq.slice"), "2-3\n");
    made.write(&file("system.slice/deeper"), "2-3\n");
    assert_eq!(others(&made.tree()), None);
    made.write(&file("system.slice"), "0\n");
    made.write(&file("user.slice"), "0-1\n");
    let mut found = others(&made.tree()).expect("two groups");
    found.sort_unstable();
    assert_eq!(found, [0, 0, 1]);
}

#[test]
fn a_governor_is_read_with_what_the_cpu_is_told_to_prefer() {
    let made = Made::new();
    let folder = "sys/devices/system/cpu/cpu3/cpufreq";
    made.write(&format!("{folder}/scaling_governor"), "powersave\n");
    let read = |preference: Option<&str>| Governor {
        name: "powersave".to_owned(),
        preference: preference.map(str::to_owned),
    };
    assert_eq!(governor(&made.tree(), 3), Ok(read(None)));
    made.write(&format!("{folder}/energy_performance_preference"), "balance_performance\n");
    assert_eq!(governor(&made.tree(), 3), Ok(read(Some("balance_performance"))));
    assert!(governor(&made.tree(), 4).is_err());
}

#[test]
fn a_setting_of_io_uring_in_the_tree_is_what_counts() {
    let made = Made::new();
    made.write("proc/sys/kernel/io_uring_disabled", "2\n");
    let mut settings = Settings::default();
    settings.server.bind_addr.set_port(0);
    settings.nats.enabled = false;
    settings.metrics.enabled = false;
    let facts = Facts::read(&made.tree(), &settings);
    assert!(matches!(facts.rings, Err(StartError::Disabled { setting: 2 })), "{:?}", facts.rings);
    assert_eq!(facts.ports.len(), 1);
    assert_eq!(facts.ports[0].bound, Ok(()));
}

#[test]
fn an_address_somebody_listens_on_is_in_use() {
    let somebody = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut settings = Settings::default();
    settings.server.bind_addr = somebody.local_addr().expect("it listens");
    settings.nats.enabled = false;
    settings.metrics.enabled = false;
    let found = ports(&Tree(PathBuf::from("/")), &settings);
    assert_eq!(found[0].bound, Err(io::ErrorKind::AddrInUse));
    let own = std::process::id();
    assert!(found[0].holders.iter().any(|holder| holder.pid == own), "{found:?}");
}
