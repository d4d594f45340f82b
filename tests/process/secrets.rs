//! Secrets that are not in the configuration itself, in a broker that runs.

use std::os::unix::fs::PermissionsExt;

use blipmq_client::ClientOptions;
use serde_json::json;

use super::on_one_and_two_cores;
use super::reload::Reloadable;
use crate::support::running::TempFile;

on_one_and_two_cores! {
    a_password_in_a_file_is_read_anew_by_a_reload,
}

/// Goal: a password in a file is changed by a reload, and neither the log nor a page shows it.
fn a_password_in_a_file_is_read_anew_by_a_reload(cores: &str) {
    let secret = TempFile::new("eu.password", b"s3cret-one\n");
    let set_mode = |mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&secret.0, mode).expect("our own file");
    };
    set_mode(0o600);
    let config = format!("[[auth.users]]\nuser = \"eu\"\npassword_file = \"{}\"\n", secret.path());
    let reloadable = Reloadable::start(cores, &config);
    let addr = reloadable.broker.server();
    let connect = |password: &str| ClientOptions::new().user("eu", password).connect(&addr);
    let before = connect("s3cret-one").expect("valid credentials");
    assert_eq!(reloadable.reload(&config)["applied"], json!([]));
    before.flush().expect("nothing has changed");
    std::fs::write(&secret.0, "s3cret-two").expect("our own file");
    assert_eq!(reloadable.reload(&config)["applied"], json!(["auth.users"]));
    before.flush().expect_err("its password has changed");
    connect("s3cret-two").expect("valid credentials");
    set_mode(0o644);
    let refused = reloadable.reload(&config);
    assert!(refused["errors"].to_string().contains("chmod o-rwx"), "{refused}");
    connect("s3cret-two").expect("a refused reload changes nothing");
    connect("s3cret-one").expect_err("not that one");
    assert!(!reloadable.broker.json("/api/v1/status").to_string().contains("s3cret"));
    let stderr = reloadable.broker.stop();
    assert!(!stderr.contains("s3cret") && stderr.contains("reason=\"wrong_password\""), "{stderr}");
}
