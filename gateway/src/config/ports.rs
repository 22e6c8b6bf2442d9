//! The ports of shards: one each, from a base.

use std::net::SocketAddr;

use thiserror::Error;

use super::Config;

/// Why shards cannot have ports of their own.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum PortError {
    /// There is no port 0, and none beyond 65,535.
    #[error("--base-port {base}: give 1 to {}, for a port of each shard", 65_536 - *shards)]
    Beyond {
        /// The base.
        base: u16,
        /// How many shards there are.
        shards: usize,
    },
    /// A shard's port is asked for twice.
    #[error(
        "--base-port {base}: shard {shard} would listen on port {port} like {flag} {addr}; \
         give one of them another port"
    )]
    Taken {
        /// The base.
        base: u16,
        /// Whose port it is.
        shard: usize,
        /// The port.
        port: u16,
        /// Who else wants it.
        flag: &'static str,
        /// Where.
        addr: SocketAddr,
    },
}

impl Config {
    /// The port that a shard has for itself, if there is a base and a port for it.
    #[must_use]
    pub fn shard_port(&self, shard: usize) -> Option<u16> {
        port_of(self.base_port?, shard)
    }

    /// Checks that this many shards can have ports of their own, if they are to. Whoever plans how
    /// many shards there are asks for that many.
    ///
    /// # Errors
    /// If there are not so many ports, or another listener of this node is to have one of them.
    pub fn check_shard_ports(&self, shards: usize) -> Result<(), PortError> {
        let Some(base) = self.base_port else { return Ok(()) };
        if base == 0 || usize::from(base) + shards > 65_536 {
            return Err(PortError::Beyond { base, shards });
        }
        let admin = self.admin.map(|admin| ("--admin", admin.addr));
        for (flag, addr) in [("--addr", self.addr)].into_iter().chain(admin) {
            let port = addr.port();
            let shard = port.checked_sub(base).map(usize::from).filter(|shard| *shard < shards);
            if let Some(shard) = shard {
                return Err(PortError::Taken { base, shard, port, flag, addr });
            }
        }
        Ok(())
    }

    /// The same for as many shards as are sure to be there.
    pub(super) fn check_ports(&self) -> Result<(), PortError> {
        self.check_shard_ports(self.shards.unwrap_or(1))
    }
}

/// The port of a shard, if there are so many.
pub(crate) fn port_of(base: u16, shard: usize) -> Option<u16> {
    u16::try_from(usize::from(base).checked_add(shard)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(base: u16) -> Config {
        Config { base_port: Some(base), ..Config::default() }
    }

    #[test]
    fn each_shard_has_the_port_after_the_one_before() {
        let config = with(3002);
        assert_eq!(config.check_shard_ports(3), Ok(()));
        assert_eq!([0, 1, 2].map(|shard| config.shard_port(shard)), [3002, 3003, 3004].map(Some));
        assert_eq!(with(65_535).shard_port(1), None);
        assert_eq!(Config::default().shard_port(0), None);
    }

    #[test]
    fn ports_that_are_not_there_are_told() {
        for (base, shards, told) in [
            (0, 3, "--base-port 0: give 1 to 65533, for a port of each shard"),
            (65_534, 3, "--base-port 65534: give 1 to 65533, for a port of each shard"),
            (65_535, 2, "--base-port 65535: give 1 to 65534, for a port of each shard"),
        ] {
            assert_eq!(with(base).check_shard_ports(shards).unwrap_err().to_string(), told);
        }
        assert_eq!(with(65_533).check_shard_ports(3), Ok(()));
    }

    #[test]
    fn a_port_is_not_given_twice() {
        let told = |base, shards| with(base).check_shard_ports(shards).map_err(|it| it.to_string());
        let error = told(9000, 3).unwrap_err();
        assert!(error.contains("shard 2") && error.contains("--addr 127.0.0.1:9002"), "{error}");
        assert_eq!(told(9000, 2), Ok(()));
        let error = told(9003, 1).unwrap_err();
        assert!(error.contains("shard 0") && error.contains("--admin 127.0.0.1:9003"), "{error}");
        let chosen = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = Config { addr: chosen, admin: None, ..with(1) };
        assert_eq!(config.check_shard_ports(1024), Ok(()), "the system's port is none of them");
    }
}
