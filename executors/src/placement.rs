//! Which cores the executors run on: those the process is allowed, or some of them.
//!
//! Called by `launch`'s caller at start. Allowed is what `taskset`, `numactl` and cpusets left, so
//! those tools just work.

use crate::error::StartError;

/// Executors one process may have.
pub const CORES_MAX: usize = 256;

/// The CPU numbers to run on, ascending: every allowed one, or `wanted` if all of it is allowed.
pub fn choose(wanted: Option<&[usize]>) -> Result<Vec<usize>, StartError> {
    let allowed = allowed()?;
    let chosen = match wanted {
        None => allowed,
        Some(wanted) => {
            if let Some(&cpu) = wanted.iter().find(|cpu| !allowed.contains(cpu)) {
                return Err(StartError::CoreNotAllowed { cpu, allowed: print(&allowed) });
            }
            wanted.to_vec()
        }
    };
    if chosen.len() > CORES_MAX {
        return Err(StartError::TooManyCores { found: chosen.len(), cores_max: CORES_MAX });
    }
    Ok(chosen)
}

#[cfg(feature = "affinity")]
fn allowed() -> Result<Vec<usize>, StartError> {
    let mut cpus: Vec<usize> = core_affinity::get_core_ids()
        .ok_or(StartError::CoresUnknown)?
        .into_iter()
        .map(|core| core.id)
        .collect();
    cpus.sort_unstable();
    if cpus.is_empty() { Err(StartError::CoresUnknown) } else { Ok(cpus) }
}

/// Without pinning the numbers only count executors; the kernel decides where they run.
#[cfg(not(feature = "affinity"))]
fn allowed() -> Result<Vec<usize>, StartError> {
    let count = std::thread::available_parallelism().map_err(|_| StartError::CoresUnknown)?;
    Ok((0..count.get()).collect())
}

/// Pins the calling thread.
#[cfg(feature = "affinity")]
pub(crate) fn pin(cpu: usize) -> Result<(), StartError> {
    if core_affinity::set_for_current(core_affinity::CoreId { id: cpu }) {
        Ok(())
    } else {
        Err(StartError::Pin { cpu })
    }
}

#[cfg(not(feature = "affinity"))]
pub(crate) fn pin(_cpu: usize) -> Result<(), StartError> {
    Ok(())
}

/// CPU numbers as people write them: `0,2-3`.
pub fn print(cpus: &[usize]) -> String {
    let mut text = String::new();
    let mut rest = cpus;
    while let Some(&first) = rest.first() {
        let run = rest.iter().zip(first..).take_while(|(cpu, expected)| *cpu == expected).count();
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&match run {
            1 => first.to_string(),
            _ => format!("{first}-{}", rest[run - 1]),
        });
        rest = &rest[run..];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_printed_as_ranges() {
        assert_eq!(print(&[]), "");
        assert_eq!(print(&[3]), "3");
        assert_eq!(print(&[0, 2, 3, 4, 9]), "0,2-4,9");
    }

    #[test]
    fn every_allowed_core_is_chosen_unless_some_are_named() {
        let all = choose(None).expect("this process runs somewhere");
        assert_eq!(choose(Some(&all[..1])).expect("one of the allowed"), all[..1]);
    }

    #[test]
    fn a_core_that_is_not_allowed_is_refused_with_those_that_are() {
        let error = choose(Some(&[100_000])).expect_err("no such core");
        assert!(error.to_string().contains("core 100000 is not among the cores"), "{error}");
    }
}
