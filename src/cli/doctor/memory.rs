//! Checks of memory: room for messages, huge pages, swap.
//!
//! Called by `doctor`. None of this prevents a broker from starting, so no check here is FAIL.

use blipmq::config::Settings;

use super::bytes;
use super::facts::Facts;
use super::report::{About, Check};
use super::sysctls::SWAPPINESS;

pub fn checks(facts: &Facts, settings: &Settings) -> Vec<Check> {
    vec![memory(facts, settings), swap(facts), transparent_huge_pages(facts), huge_pages(facts)]
}

fn memory(facts: &Facts, settings: &Settings) -> Check {
    let held = settings.limits.memory_max;
    // Topics, connections and the kernel's buffers need memory in addition to messages.
    let wanted = held.saturating_add(held / 3);
    let about = About {
        name: "memory",
        wanted: format!("{} or more (limits.memory_max = {})", bytes(wanted), bytes(held)),
        why: "messages may use limits.memory_max, and everything else about a third of that: with \
              less memory the kernel kills the broker before it reaches its limit",
    };
    let group = facts.group.as_ref().ok().and_then(|group| group.memory);
    let found = match (&facts.memory, group) {
        (Err(reason), None) => return about.unknown(reason),
        (Err(_), Some(group)) => group,
        (&Ok(machine), group) => group.map_or(machine, |group| group.min(machine)),
    };
    match found >= wanted {
        true => about.ok(bytes(found)),
        false => about.warn(
            bytes(found),
            format!("limits.memory_max = {} or less, or more memory", found / 4 * 3),
        ),
    }
}

fn swap(facts: &Facts) -> Check {
    const SWAPPINESS_MAX: u64 = 10;
    let about = About {
        name: "swap",
        wanted: format!("none, or {SWAPPINESS} = {SWAPPINESS_MAX} or less"),
        why: "a core that has to read its memory from a disk delays all its connections",
    };
    match (&facts.swap, &facts.sysctls[SWAPPINESS]) {
        (Err(reason), _) => about.unknown(reason),
        (Ok(0), _) => about.ok("none"),
        (_, Err(reason)) => about.unknown(reason),
        (&Ok(swap), Ok(swappiness)) => {
            let found = format!("{}, {SWAPPINESS} = {}", bytes(swap), swappiness[0]);
            match swappiness[0] <= SWAPPINESS_MAX {
                true => about.ok(found),
                false => about.warn(
                    found,
                    format!(
                        "sysctl -w {SWAPPINESS}=1, and the same line in /etc/sysctl.d; or \
                         MemorySwapMax=0 in the unit"
                    ),
                ),
            }
        }
    }
}

fn transparent_huge_pages(facts: &Facts) -> Check {
    let about = About {
        name: "transparent-huge-pages",
        wanted: "madvise or never".to_owned(),
        why: "with always, small mappings take 2 MiB each, and threads stall while the kernel \
              compacts memory",
    };
    match &facts.transparent_huge_pages {
        Err(reason) => about.unknown(reason),
        Ok(mode) if mode == "always" => {
            // The script also sets the number of reserved pages, so it gets the current number.
            let reserved = facts.huge_pages.as_ref().map_or(0, |pages| pages.reserved);
            about.warn(mode, format!("deploy/hugepages.sh {reserved}"))
        }
        Ok(mode) => about.ok(mode),
    }
}

fn huge_pages(facts: &Facts) -> Check {
    let enabled = facts.huge_pages_enabled;
    let about = About {
        name: "reserved-huge-pages",
        wanted: match enabled {
            true => "1 or more (MIMALLOC_ALLOW_LARGE_OS_PAGES=1)",
            false => "none, or a program that uses them",
        }
        .to_owned(),
        why: match enabled {
            true => "the allocator is configured to use them, and there are none",
            false => "reserved memory is not available for anything else",
        },
    };
    match &facts.huge_pages {
        Err(reason) => about.unknown(reason),
        Ok(pages) if enabled && pages.reserved == 0 => {
            about.warn("none", "deploy/hugepages.sh 512")
        }
        Ok(pages) if !enabled && pages.reserved > 0 && pages.free == pages.reserved => about.warn(
            format!("{}, all free", pages.reserved),
            "MIMALLOC_ALLOW_LARGE_OS_PAGES=1 in the environment of the broker, or release them: \
             deploy/hugepages.sh 0",
        ),
        Ok(pages) if pages.reserved == 0 => about.ok("none"),
        Ok(pages) => about.ok(format!("{}, {} free", pages.reserved, pages.free)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::{Group, HugePages};
    use super::super::report::Status;
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn memory_below_the_messages_and_a_third_more_is_a_warning() {
        let mut settings = Settings::default();
        settings.limits.memory_max = 3 * GIB;
        let mut facts = Facts::good();
        for (machine, group, status) in [
            (Ok(4 * GIB), None, Status::Ok),
            (Ok(4 * GIB - 1), None, Status::Warn),
            (Ok(64 * GIB), Some(4 * GIB), Status::Ok),
            (Ok(64 * GIB), Some(GIB), Status::Warn),
            (Err("hidden".to_owned()), Some(GIB), Status::Warn),
            (Err("hidden".to_owned()), None, Status::Unknown),
        ] {
            facts.memory = machine;
            facts.group = Ok(Group { cpus: None, memory: group });
            assert_eq!(memory(&facts, &settings).status, status, "{:?}", facts.memory);
        }
        facts.group = Err("hidden".to_owned());
        facts.memory = Ok(2 * GIB);
        let check = memory(&facts, &settings);
        assert_eq!((check.status, check.found.as_str()), (Status::Warn, "2 GiB"));
        assert_eq!(check.wanted, "4 GiB or more (limits.memory_max = 3 GiB)");
        assert!(check.fix.expect("a fix").starts_with("limits.memory_max = 1610612736 or less"));
    }

    #[test]
    fn the_largest_memory_limit_does_not_overflow() {
        let mut settings = Settings::default();
        settings.limits.memory_max = u64::MAX;
        assert_eq!(memory(&Facts::good(), &settings).status, Status::Warn);
    }

    #[test]
    fn swap_is_a_warning_if_swappiness_is_high() {
        let mut facts = Facts::good();
        let unread = || Err("hidden".to_owned());
        for (swap_bytes, swappiness, status) in [
            (Ok(0), Ok(60), Status::Ok),
            (Ok(0), unread(), Status::Ok),
            (Ok(GIB), Ok(10), Status::Ok),
            (Ok(GIB), Ok(11), Status::Warn),
            (Ok(GIB), unread(), Status::Unknown),
            (unread(), Ok(60), Status::Unknown),
        ] {
            facts.swap = swap_bytes;
            facts.sysctls.insert(SWAPPINESS, swappiness.map(|number| vec![number]));
            assert_eq!(swap(&facts).status, status, "{:?}", facts.swap);
        }
        facts.swap = Ok(GIB);
        facts.sysctls.insert(SWAPPINESS, Ok(vec![60]));
        assert_eq!(swap(&facts).found, "1 GiB, vm.swappiness = 60");
    }

    #[test]
    fn transparent_huge_pages_for_all_mappings_are_a_warning() {
        let mut facts = Facts::good();
        for (mode, status) in [
            (Ok("madvise"), Status::Ok),
            (Ok("never"), Status::Ok),
            (Ok("always"), Status::Warn),
            (Err("not in this kernel"), Status::Unknown),
        ] {
            facts.transparent_huge_pages = mode.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(transparent_huge_pages(&facts).status, status, "{mode:?}");
        }
        facts.transparent_huge_pages = Ok("always".to_owned());
        facts.huge_pages = Ok(HugePages { reserved: 64, free: 0 });
        let fix = transparent_huge_pages(&facts).fix.expect("a fix");
        assert_eq!(fix, "deploy/hugepages.sh 64", "the number of reserved pages stays");
    }

    #[test]
    fn reserved_huge_pages_are_wanted_if_enabled_and_only_then() {
        let mut facts = Facts::good();
        for (enabled, reserved, free, status) in [
            (false, 0, 0, Status::Ok),
            (false, 512, 512, Status::Warn),
            // Another program uses some of them.
            (false, 512, 100, Status::Ok),
            (true, 512, 512, Status::Ok),
            (true, 0, 0, Status::Warn),
        ] {
            facts.huge_pages_enabled = enabled;
            facts.huge_pages = Ok(HugePages { reserved, free });
            let check = huge_pages(&facts);
            assert_eq!(check.status, status, "{check:?}");
            let fix = check.fix.unwrap_or_else(|| "deploy/hugepages.sh".to_owned());
            assert!(fix.contains("deploy/hugepages.sh"), "{fix}");
        }
        facts.huge_pages = Err("not in this kernel".to_owned());
        assert_eq!(huge_pages(&facts).status, Status::Unknown);
    }
}
