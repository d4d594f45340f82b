//! Any text as a configuration: nothing panics, and accepted settings survive printing and parsing.
#![no_main]

use blipmq::config::{Settings, parse_cores_or_all};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Settings::parse("fuzz.toml", text) {
        Ok(settings) => {
            assert!(settings.conflicts().is_empty(), "`parse` has checked this");
            let printed = settings.to_string();
            assert_eq!(Settings::parse("printed.toml", &printed), Ok(settings), "{printed}");
        }
        Err(error) => assert!(error.to_string().contains("fuzz.toml"), "{error}"),
    }
    if let Ok(Some(cores)) = parse_cores_or_all(text) {
        assert!(!cores.is_empty() && cores.is_sorted());
    }
});
