//! Lists of CPU numbers, written as `taskset` and `numactl` write them: `0,2-3`.
//!
//! Called by `parse` for `[server] cores`, and by the command line for `--cores`.

use crate::limits::{CORES_MAX, CPU_NUMBER_MAX};

/// Parses a list like `0,2-3` to CPU numbers, ascending and each once.
///
/// `executors` checks whether this machine has these CPUs and lets the process use them.
///
/// ```
/// assert_eq!(blipmq::config::parse_cores("0,2-3"), Ok(vec![0, 2, 3]));
/// ```
pub fn parse_cores(text: &str) -> Result<Vec<usize>, String> {
    if text.trim().is_empty() {
        return Err("the list of cores is empty; write one like \"0,2-3\"".to_owned());
    }
    let mut cores = Vec::new();
    for item in text.split(',').map(str::trim) {
        let (first, last) = match item.split_once('-') {
            Some((first, last)) => (cpu_number(first, text)?, cpu_number(last, text)?),
            None => {
                let number = cpu_number(item, text)?;
                (number, number)
            }
        };
        if first > last {
            return Err(format!(
                "range {item} runs backwards; write the lower core first: {last}-{first}"
            ));
        }
        cores.extend(first..=last);
    }
    cores.sort_unstable();
    // Not silently merged: an operator who names a core twice expects two executors on it.
    if let Some(pair) = cores.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("core {} is named more than once; name each core once", pair[0]));
    }
    if cores.len() > CORES_MAX {
        return Err(format!(
            "{} cores are named, one broker runs on at most {CORES_MAX}; name fewer, or run one \
             instance per NUMA node (deploy/numa-instances.sh)",
            cores.len()
        ));
    }
    Ok(cores)
}

/// Parses like [`parse_cores`]; `all` gives `None`, every core that this process may use.
pub fn parse_cores_or_all(text: &str) -> Result<Option<Vec<usize>>, String> {
    if text.trim() == "all" { Ok(None) } else { parse_cores(text).map(Some) }
}

/// The list as [`parse_cores`] reads it, with neighbours as ranges.
pub(super) fn print(cores: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &core in cores {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == core => *last = core,
            _ => ranges.push((core, core)),
        }
    }
    let ranges = ranges.into_iter().map(|(first, last)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    });
    ranges.collect::<Vec<_>>().join(",")
}

fn cpu_number(text: &str, whole: &str) -> Result<usize, String> {
    let text = text.trim();
    // Digits only: `parse` alone would let "+3" through.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "{text:?} in {whole:?} is not a core number; write a list like \"0,2-3\""
        ));
    }
    match text.parse() {
        Ok(number) if number <= CPU_NUMBER_MAX => Ok(number),
        _ => {
            Err(format!("core {text} is out of range, core numbers go from 0 to {CPU_NUMBER_MAX}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_sorted_and_ranges_are_filled() {
        assert_eq!(parse_cores("0,2-3"), Ok(vec![0, 2, 3]));
        assert_eq!(parse_cores(" 7 , 0-1,3 - 4"), Ok(vec![0, 1, 3, 4, 7]));
        assert_eq!(parse_cores("5-5"), Ok(vec![5]));
        assert_eq!(parse_cores("1023"), Ok(vec![1023]));
    }

    #[test]
    fn a_bad_list_is_refused_and_the_error_names_the_culprit() {
        for (text, culprit) in [
            ("", "empty"),
            ("  ", "empty"),
            ("0,", "\"\" in \"0,\" is not a core number"),
            ("0,,2", "\"\" in"),
            ("a", "\"a\" in"),
            ("1-", "\"\" in"),
            ("-1", "\"\" in"),
            ("+1", "\"+1\" in"),
            ("1-2-3", "\"2-3\" in"),
            ("0x1", "\"0x1\" in"),
            ("3-1", "range 3-1 runs backwards; write the lower core first: 1-3"),
            ("1024", "core 1024 is out of range, core numbers go from 0 to 1023"),
            ("99999999999999999999999", "out of range"),
            ("0-3,2", "core 2 is named more than once"),
            ("0-256", "257 cores are named, one broker runs on at most 256"),
        ] {
            let error = parse_cores(text).expect_err(text);
            assert!(error.contains(culprit), "{text:?} gives: {error}");
        }
    }

    #[test]
    fn all_means_every_allowed_core_and_only_where_it_is_accepted() {
        assert_eq!(parse_cores_or_all("all"), Ok(None));
        assert_eq!(parse_cores_or_all("1"), Ok(Some(vec![1])));
        assert!(parse_cores("all").is_err());
    }

    #[test]
    fn a_printed_list_reads_back_the_same() {
        for text in ["0", "0-1", "0,2-3", "0,2,4,6-255"] {
            assert_eq!(print(&parse_cores(text).unwrap()), text);
        }
    }
}
