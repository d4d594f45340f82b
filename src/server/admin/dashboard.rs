//! The files of the dashboard, which are part of the binary. The dashboard gets its numbers from the
//! API.

use axum::Router;
use axum::http::header;
use axum::routing::get;

/// Scripts and styles come from these files alone, none inline, and no page may frame the dashboard: a
/// topic whose name is a script stays a name.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Path, type and text of a file; the path is its name.
macro_rules! file {
    ($kind:expr, $name:literal) => {
        (concat!("/", $name), $kind, include_str!(concat!("dashboard/", $name)))
    };
}

static FILES: [(&str, &str, &str); 18] = [
    ("/", HTML, include_str!("dashboard/index.html")),
    file!(CSS, "dashboard.css"),
    file!(CSS, "charts.css"),
    file!(CSS, "panels.css"),
    file!(CSS, "tables.css"),
    file!(CSS, "theme.css"),
    file!(SCRIPT, "api.js"),
    file!(SCRIPT, "charts.js"),
    file!(SCRIPT, "columns.js"),
    file!(SCRIPT, "cores.js"),
    file!(SCRIPT, "dashboard.js"),
    file!(SCRIPT, "elements.js"),
    file!(SCRIPT, "facts.js"),
    file!(SCRIPT, "formats.js"),
    file!(SCRIPT, "panels.js"),
    file!(SCRIPT, "samples.js"),
    file!(SCRIPT, "tables.js"),
    file!(SCRIPT, "theme.js"),
];

/// Adds the dashboard's files. The files contain no data of the broker, so they need no token.
pub fn add_to<S: Clone + Send + Sync + 'static>(mut router: Router<S>) -> Router<S> {
    for (path, kind, text) in FILES {
        let headers = [
            (header::CONTENT_TYPE, kind),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::REFERRER_POLICY, "no-referrer"),
        ];
        router = router.route(path, get(move || async move { (headers, text) }));
    }
    router
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_folder_and_every_file_that_another_loads_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/server/admin/dashboard");
        let names = std::fs::read_dir(folder).unwrap().map(|file| {
            let name = file.unwrap().file_name().into_string().unwrap();
            if name == "index.html" { "/".to_owned() } else { format!("/{name}") }
        });
        let in_folder: BTreeSet<String> = names.collect();
        let served: BTreeSet<String> = FILES.iter().map(|file| file.0.to_owned()).collect();
        assert_eq!(served, in_folder);
        for (path, _, text) in FILES {
            let quoted = text.split(['"', '\'']).filter(|part| {
                let name = part.trim_start_matches("./").trim_start_matches('/');
                (name.ends_with(".js") || name.ends_with(".css")) && !name.contains(' ')
            });
            for name in quoted {
                let loaded = format!("/{}", name.trim_start_matches("./").trim_start_matches('/'));
                assert!(served.contains(&loaded), "{path} loads {name}");
            }
        }
    }

    /// Goal: the dashboard works below any path of a proxy.
    #[test]
    fn no_file_loads_anything_by_an_absolute_path() {
        for (path, _, text) in FILES {
            for start in
                ["href=\"/", "src=\"/", "from \"/", "import(\"/", "url(/", "fetch(`/", "fetch(\"/"]
            {
                assert!(!text.contains(start), "{path}: {start}");
            }
        }
    }

    #[test]
    fn no_file_loads_anything_from_another_host() {
        for (path, _, text) in FILES {
            let without_names =
                text.replace("http://www.w3.org/", "").replace("http://127.0.0.1", "");
            let found = without_names.find("http://").or(without_names.find("https://"));
            assert!(found.is_none(), "{path}: {}", &without_names[found.unwrap_or(0)..][..60]);
        }
    }
}
