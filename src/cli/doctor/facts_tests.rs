//! Sample facts for the tests of the checks, and tests that read facts from temporary trees.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A temporary tree of files, removed when dropped.
pub struct TempTree(PathBuf);

impl TempTree {
    pub fn new() -> TempTree {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("blipmq-doctor-{}-{number}", std::process::id());
        let root = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&root).expect("a folder can be created");
        TempTree(root)
    }

    pub fn tree(&self) -> Tree {
        Tree(self.0.clone())
    }

    fn create_parent(&self, path: &str) -> PathBuf {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().expect("a path in the tree")).expect("a folder");
        path
    }

    pub fn write(&self, path: &str, text: &str) {
        std::fs::write(self.create_parent(path), text).expect("a file can be written");
    }

    pub fn link(&self, path: &str, target: &str) {
        std::os::unix::fs::symlink(target, self.create_parent(path))
            .expect("a link can be created");
    }
}

impl Drop for TempTree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Facts {
    /// Returns facts without any fault, for a broker with the defaults on cores 2 and 3.
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
            other_cpus: None,
            governors: vec![(2, performance()), (3, performance())],
            clocksource: Ok("tsc".to_owned()),
            clocksources: vec!["tsc".to_owned()],
            transparent_huge_pages: Ok("madvise".to_owned()),
            huge_pages: Ok(HugePages { reserved: 0, free: 0 }),
            huge_pages_enabled: false,
            swap: Ok(0),
            memory: Ok(64 << 30),
            group: Ok(Group::default()),
        }
    }

    /// Returns facts from an empty tree, so that nothing could be read there.
    pub fn unreadable() -> Facts {
        let temp = TempTree::new();
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
            huge_pages_enabled: false,
            ..Facts::read(&temp.tree(), &settings)
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
    let temp = TempTree::new();
    // Some kernels print an empty list like this.
    temp.write("none", " (null)\n");
    assert_eq!(temp.tree().list("none"), Ok(vec![]));
}

#[test]
fn files_without_a_number_are_reported_with_their_text() {
    let temp = TempTree::new();
    temp.write("numbers", "4096\t131072\t33554432\n");
    temp.write("words", "many\n");
    temp.write("empty", "\n");
    assert_eq!(temp.tree().numbers("numbers"), Ok(vec![4_096, 131_072, 33_554_432]));
    let reason = temp.tree().numbers("words").expect_err("no number");
    assert!(reason.ends_with("words contains \"many\", which is not a number"), "{reason}");
    assert!(temp.tree().numbers("empty").is_err());
    let reason = temp.tree().numbers("missing").expect_err("no file");
    assert!(reason.starts_with("cannot read ") && reason.ends_with("no such file"), "{reason}");
}

#[test]
fn online_nodes_are_read_with_their_cores_and_distances() {
    let temp = TempTree::new();
    let folder = "sys/devices/system/node";
    temp.write(&format!("{folder}/online"), "0,2\n");
    for (id, cpus, distances) in [(0, "0-1", "10 21"), (2, "", "21 10")] {
        temp.write(&format!("{folder}/node{id}/cpulist"), &format!("{cpus}\n"));
        temp.write(&format!("{folder}/node{id}/distance"), &format!("{distances}\n"));
    }
    let node = |id, cpus, distances| Node { id, cpus, distances };
    let expected = vec![node(0, vec![0, 1], vec![10, 21]), node(2, vec![], vec![21, 10])];
    assert_eq!(nodes(&temp.tree()), Ok(expected));
}

#[test]
fn the_mode_of_transparent_huge_pages_is_read_from_the_brackets() {
    let temp = TempTree::new();
    let path = "sys/kernel/mm/transparent_hugepage/enabled";
    temp.write(path, "always [madvise] never\n");
    assert_eq!(transparent_huge_pages(&temp.tree()), Ok("madvise".to_owned()));
    temp.write(path, "always\n");
    assert!(transparent_huge_pages(&temp.tree()).is_err());
}

#[test]
fn swap_is_the_sum_of_its_files_and_memory_the_total() {
    let temp = TempTree::new();
    let header = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
    temp.write("proc/swaps", header);
    assert_eq!(swap(&temp.tree()), Ok(0));
    let lines = "/dev/sda2 partition 1024 0 -2\n/swapfile file 512 12 -3\n";
    temp.write("proc/swaps", &format!("{header}{lines}"));
    assert_eq!(swap(&temp.tree()), Ok(1_536 * 1_024));
    temp.write("proc/meminfo", "MemTotal:       2048 kB\nMemFree:        1 kB\n");
    assert_eq!(memory(&temp.tree()), Ok(2_048 * 1_024));
    temp.write("proc/meminfo", "MemFree:        1 kB\n");
    assert!(memory(&temp.tree()).is_err());
}

#[test]
fn the_tightest_limit_of_a_group_and_the_groups_above_it_counts() {
    let temp = TempTree::new();
    assert!(group(&temp.tree()).is_err());
    temp.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
    temp.write("proc/self/cgroup", "1:name=systemd:/\n0::/pod/one\n");
    assert_eq!(group(&temp.tree()), Ok(Group::default()));
    temp.write("sys/fs/cgroup/cpu.max", "400000 100000\n");
    temp.write("sys/fs/cgroup/pod/cpu.max", "150000 100000\n");
    temp.write("sys/fs/cgroup/pod/one/cpu.max", "max 100000\n");
    temp.write("sys/fs/cgroup/pod/one/memory.max", "1000\n");
    temp.write("sys/fs/cgroup/pod/memory.max", "2000\n");
    temp.write("sys/fs/cgroup/memory.max", "max\n");
    assert_eq!(group(&temp.tree()), Ok(Group { cpus: Some(1.5), memory: Some(1_000) }));
}

#[test]
fn other_cpus_are_those_of_all_top_level_groups_but_the_brokers() {
    let temp = TempTree::new();
    assert_eq!(other_cpus(&temp.tree()), None);
    let file = |group: &str| format!("sys/fs/cgroup/{group}/cpuset.cpus.effective");
    temp.write(&file("blipmq.slice"), "2-3\n");
    temp.write(&file("system.slice/deeper"), "2-3\n");
    assert_eq!(other_cpus(&temp.tree()), None);
    temp.write(&file("system.slice"), "0\n");
    temp.write(&file("user.slice"), "0-1\n");
    let mut found = other_cpus(&temp.tree()).expect("two groups");
    found.sort_unstable();
    assert_eq!(found, [0, 0, 1]);
}

#[test]
fn a_governor_is_read_with_its_preference() {
    let temp = TempTree::new();
    let folder = "sys/devices/system/cpu/cpu3/cpufreq";
    temp.write(&format!("{folder}/scaling_governor"), "powersave\n");
    let read = |preference: Option<&str>| Governor {
        name: "powersave".to_owned(),
        preference: preference.map(str::to_owned),
    };
    assert_eq!(governor(&temp.tree(), 3), Ok(read(None)));
    temp.write(&format!("{folder}/energy_performance_preference"), "balance_performance\n");
    assert_eq!(governor(&temp.tree(), 3), Ok(read(Some("balance_performance"))));
    assert!(governor(&temp.tree(), 4).is_err());
}

#[test]
fn the_io_uring_setting_is_read_from_the_tree() {
    let temp = TempTree::new();
    temp.write("proc/sys/kernel/io_uring_disabled", "2\n");
    let mut settings = Settings::default();
    settings.server.bind_addr.set_port(0);
    settings.nats.enabled = false;
    settings.metrics.enabled = false;
    let facts = Facts::read(&temp.tree(), &settings);
    assert!(matches!(facts.rings, Err(StartError::Disabled { setting: 2 })), "{:?}", facts.rings);
    assert_eq!(facts.ports.len(), 1);
    assert_eq!(facts.ports[0].bound, Ok(()));
}

#[test]
fn an_address_with_a_listener_is_in_use() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut settings = Settings::default();
    settings.server.bind_addr = listener.local_addr().expect("a listening socket");
    settings.nats.enabled = false;
    settings.metrics.enabled = false;
    let found = ports(&Tree(PathBuf::from("/")), &settings);
    assert_eq!(found[0].bound, Err(io::ErrorKind::AddrInUse));
    let own = std::process::id();
    assert!(found[0].holders.iter().any(|holder| holder.pid == own), "{found:?}");
}
