//! nginx with nchan: one worker, channels that authors and listeners reach by different paths.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::dialect::Dialect;
use crate::folder::Folder;
use crate::server::{Launch, Ready};

/// Where distributions put the module.
const MODULES: [&str; 3] = [
    "/usr/lib/nginx/modules/ngx_nchan_module.so",
    "/usr/lib64/nginx/modules/ngx_nchan_module.so",
    "/usr/local/lib/nginx/modules/ngx_nchan_module.so",
];

/// Where the module is.
///
/// # Errors
/// If it is in none of the usual places.
pub(super) fn module() -> Result<&'static Path> {
    let modules = MODULES.map(Path::new);
    let module = modules.into_iter().find(|module| module.is_file());
    module.with_context(|| format!("nginx has no nchan: there is no {}", MODULES[0]))
}

/// How nginx, whose path `command` has, comes to serve at `addr`.
///
/// # Errors
/// If its configuration cannot be written.
pub(super) fn launch(name: &'static str, mut command: Command, addr: SocketAddr) -> Result<Launch> {
    let folder = Folder::new(name)?;
    let conf = conf(module()?, folder.path(), addr);
    let conf: PathBuf = folder.write("nginx.conf", &conf)?;
    command.arg("-p").arg(folder.path()).arg("-c").arg(conf).args(["-e", "stderr"]);
    let (ready, dialect) = (Ready::Listens(addr), Dialect::Nchan);
    Ok(Launch { name, command, ready, dialect, folder: Some(folder) })
}

/// A channel keeps more messages than come at once, as listeners are served from there.
fn conf(module: &Path, folder: &Path, addr: SocketAddr) -> String {
    let (module, folder) = (module.display(), folder.display());
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path {folder}/{kind};\n"))
        .concat();
    format!(
        "load_module {module};\n\
         daemon off;\n\
         worker_processes 1;\n\
         worker_rlimit_nofile 20000;\n\
         pid {folder}/nginx.pid;\n\
         error_log stderr warn;\n\
         events {{ worker_connections 19000; }}\n\
         http {{\n    access_log off;\n{temporary}    \
             server {{\n        listen {addr};\n        \
                 location ~ ^/pub/(.+)$ {{\n            \
                     nchan_publisher websocket;\n            \
                     nchan_channel_id $1;\n            \
                     nchan_message_buffer_length 64;\n            \
                     nchan_message_timeout 10s;\n        \
                 }}\n        \
                 location ~ ^/sub/(.+)$ {{\n            \
                     nchan_subscriber websocket;\n            \
                     nchan_channel_id $1;\n            \
                     nchan_subscriber_first_message newest;\n            \
                     nchan_websocket_ping_interval 0;\n        \
                 }}\n    \
             }}\n\
         }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_brace_of_the_configuration_is_closed() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 8080));
        let conf = conf(Path::new("/m.so"), Path::new("/tmp/a"), addr);
        let count = |brace: char| conf.matches(brace).count();
        assert_eq!((count('{'), count('}')), (5, 5), "{conf}");
        assert!(conf.contains("        listen 127.0.0.1:8080;\n"), "{conf}");
        assert!(conf.contains("    scgi_temp_path /tmp/a/scgi;\n"), "{conf}");
    }
}
