//! Why the broker does not start, where the executors cannot say what to do: they know no setting and
//! no unit of this product.

use executors::StartError;

/// The text of a refusal, with what to do.
pub fn text(error: &StartError) -> String {
    match error {
        StartError::Memlock { needed, .. } => {
            let kib = needed / 1024;
            format!(
                "{error}: set LimitMEMLOCK={kib}K in blipmq.service, `ulimit -l {kib}` in a root \
                 shell, or memlock in /etc/security/limits.conf"
            )
        }
        StartError::OpenFiles { found, needed, connections_max, fitting } => format!(
            "open-file limit is {found}, but server.max_connections = {connections_max} needs \
             {needed}: set LimitNOFILE={needed} in blipmq.service, `ulimit -n {needed}` in the \
             shell, or lower server.max_connections to {fitting} or less"
        ),
        StartError::CoreNotAllowed { .. } => format!(
            "{error}: change server.cores or --cores, or start the broker under another taskset \
             or cpuset"
        ),
        StartError::TooManyCores { .. } => format!("{error}: name fewer in server.cores"),
        StartError::Kernel { .. }
        | StartError::Disabled { .. }
        | StartError::Forbidden { .. }
        | StartError::CoresUnknown
        | StartError::Pin { .. }
        | StartError::Listen { .. }
        | StartError::Core { .. } => error.to_string(),
    }
}
