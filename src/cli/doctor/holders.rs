//! Finds the processes that listen on a port.
//!
//! Called by `facts`, for a port in use. The kernel shows all sockets to every user, but the process
//! of a socket only to root and the owner.

use std::collections::BTreeSet;

use super::facts::Tree;

/// A process that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    pub pid: u32,
    pub name: String,
}

impl Holder {
    pub fn is_blipmq(&self) -> bool {
        self.name == "blipmq"
    }
}

/// Returns the processes that listen on a port, at any address, as far as this user may see them.
pub fn of_port(tree: &Tree, port: u16) -> Vec<Holder> {
    let mut sockets = BTreeSet::new();
    for table in ["proc/net/tcp", "proc/net/tcp6"] {
        let text = tree.text(table).unwrap_or_default();
        sockets.extend(text.lines().filter_map(|line| listening_socket(line, port)));
    }
    if sockets.is_empty() {
        return Vec::new();
    }
    let Ok(processes) = std::fs::read_dir(tree.path("proc")) else { return Vec::new() };
    let mut holders: Vec<Holder> = processes
        .filter_map(|process| process.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|&pid| has_any_socket(tree, pid, &sockets))
        .filter_map(|pid| Some(Holder { pid, name: tree.text(&format!("proc/{pid}/comm")).ok()? }))
        .collect();
    holders.sort_unstable();
    holders
}

/// Returns the socket of a line, as open files name it, if the socket listens on this port.
fn listening_socket(line: &str, port: u16) -> Option<String> {
    const LISTENING: &str = "0A";
    // Columns: number, local address:port, remote address:port, state, queues, timer, retransmits, uid,
    // timeout, inode.
    let words: Vec<&str> = line.split_whitespace().collect();
    let (_, found) = words.get(1)?.rsplit_once(':')?;
    let listens = *words.get(3)? == LISTENING && u16::from_str_radix(found, 16) == Ok(port);
    listens.then(|| words.get(9).map(|inode| format!("socket:[{inode}]")))?
}

fn has_any_socket(tree: &Tree, pid: u32, sockets: &BTreeSet<String>) -> bool {
    let Ok(files) = std::fs::read_dir(tree.path(&format!("proc/{pid}/fd"))) else { return false };
    files.flatten().any(|file| {
        std::fs::read_link(file.path())
            .is_ok_and(|target| target.to_str().is_some_and(|name| sockets.contains(name)))
    })
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::TempTree;
    use super::*;

    const HEADER: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when \
                          retrnsmt   uid  timeout inode\n";

    fn line(local: &str, state: &str, inode: u32) -> String {
        format!(
            "   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0 \
             0 {inode} 1 0 100 0 0 10 0\n"
        )
    }

    #[test]
    fn processes_are_found_by_their_listening_sockets() {
        let temp = TempTree::new();
        // 0x1ec6 is 7878.
        let tcp = [
            HEADER.to_owned(),
            line("0100007F:1EC6", "0A", 41),
            line("0100007F:1EC6", "01", 42),
            line("0100007F:1EC7", "0A", 43),
        ];
        temp.write("proc/net/tcp", &tcp.concat());
        let six = line("00000000000000000000000001000000:1EC6", "0A", 44);
        temp.write("proc/net/tcp6", &format!("{HEADER}{six}"));
        for (pid, name, socket) in
            [(7, "blipmq", 41), (8, "curl", 42), (9, "other", 43), (100, "nginx", 44)]
        {
            temp.write(&format!("proc/{pid}/comm"), &format!("{name}\n"));
            temp.link(&format!("proc/{pid}/fd/3"), &format!("socket:[{socket}]"));
        }
        let holder = |pid, name: &str| Holder { pid, name: name.to_owned() };
        let found = of_port(&temp.tree(), 7878);
        assert_eq!(found, [holder(7, "blipmq"), holder(100, "nginx")]);
        assert!(found[0].is_blipmq() && !found[1].is_blipmq());
        assert_eq!(of_port(&temp.tree(), 7879), [holder(9, "other")]);
        assert_eq!(of_port(&temp.tree(), 80), []);
    }

    #[test]
    fn no_process_is_found_if_nothing_can_be_read() {
        let temp = TempTree::new();
        assert_eq!(of_port(&temp.tree(), 7878), []);
        temp.write("proc/net/tcp", &line("0100007F:1EC6", "0A", 41));
        temp.write("proc/7/comm", "blipmq");
        assert_eq!(of_port(&temp.tree(), 7878), [], "its open files cannot be read");
    }
}
