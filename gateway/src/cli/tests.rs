//! Flags, variables and their order, without a process.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use super::*;

/// An environment without variables.
fn nothing(_: &str) -> Option<OsString> {
    None
}

fn parse(line: &str) -> Result<Serve, clap::Error> {
    Cli::try_read(line.split(' ').map(OsString::from)).map(Cli::serve)
}

#[test]
fn weir_alone_means_weir_serve() {
    for line in ["weir", "weir serve"] {
        let config = parse(line).unwrap().config(nothing).unwrap();
        assert_eq!(config.addr, ADDR_DEFAULT);
        assert_eq!((config.shards, config.workers, config.numa), (None, None, Numa::Auto));
        assert_eq!((config.ring, config.batch), (RING_DEFAULT, BATCH_DEFAULT));
        assert_eq!(config.coalesce_micros, 0, "nothing waits unless that is asked for");
    }
    for line in ["weir --shards 3", "weir serve --shards 3"] {
        assert_eq!(parse(line).unwrap().shards, Some(3));
    }
}

#[test]
fn flags_become_fields() {
    let line = "weir --shards 8 --workers 4 --numa 2,0 --ring 99 --batch 7 --max-connections 5";
    let config = parse(line).unwrap().config(nothing).unwrap();
    assert_eq!((config.shards, config.workers), (Some(8), Some(4)));
    assert_eq!(config.numa, Numa::Nodes([0, 2].into()));
    assert_eq!((config.ring, config.batch, config.max_connections), (99, 7, Some(5)));
    assert_eq!(parse("weir --numa off").unwrap().numa, Numa::Off);
    let coalescing = parse("weir -coalesce-micros=200").unwrap().config(nothing).unwrap();
    assert_eq!(coalescing.coalesce_micros, 200);
}

#[test]
fn networks_of_proxies_are_a_list_or_several_flags() {
    let of = |line: &str| parse(line).unwrap().config(nothing).unwrap().sources;
    let networks = ["10.0.0.0/8", "::1"].map(|text| text.parse().unwrap());
    assert_eq!(of("weir --proxy-from 10.0.0.0/8,::1").proxies, networks);
    assert_eq!(of("weir -proxy-from 10.0.0.0/8 -proxy-from=::1").proxies, networks);
    assert_eq!((of("weir").proxies, of("weir").loopback), (Vec::new(), false));
    assert!(of("weir --limit-loopback").loopback);
}

#[test]
fn the_guard_of_a_flag_is_read_instead_of_that_of_the_file() {
    let guard = |line: &str| parse(line).unwrap().config(nothing).unwrap().sources.guard;
    let path = std::env::temp_dir().join(format!("weir-cli-{}.toml", std::process::id()));
    std::fs::write(&path, "[sources]\nguard = 'of-the-file'").unwrap();
    let config = path.to_str().unwrap();
    let guards = [
        guard("weir"),
        guard("weir --guard of-the-flag"),
        guard(&format!("weir --config {config}")),
        guard(&format!("weir --config {config} --guard of-the-flag")),
    ];
    std::fs::remove_file(&path).unwrap();
    let [file, flag] = ["of-the-file", "of-the-flag"].map(|name| Some(PathBuf::from(name)));
    assert_eq!(guards, [None, flag.clone(), file, flag]);
}

#[test]
fn a_value_out_of_bounds_is_told_what_would_be_right() {
    for (line, told) in [
        ("weir --proxy-from 10.0.0.1/8", "--proxy-from \"10.0.0.1/8\": the address goes on"),
        ("weir --proxy-from ::1,lb", "--proxy-from \"lb\": no IP address; write 10.0.0.0/8"),
        ("weir --shards 0", "--shards 0: give 1 to 1024"),
        ("weir --shards 1025", "--shards 1025: give 1 to 1024"),
        ("weir --workers 0", "--workers 0: give 1 to 1024"),
        ("weir --shards 2 --workers 3", "give --shards 3 or more, or --workers 2 or fewer"),
        ("weir --ring 1", "--ring 1: give 2 to 65536 envelopes"),
        ("weir --batch 0", "--batch 0: give 1 to 65536 members"),
        ("weir --coalesce-micros 10001", "--coalesce-micros 10001: give 0 to 10000 microseconds"),
        ("weir --base-port 0", "--base-port 0: give 1 to 65535"),
        ("weir --base-port 65535 --shards 2", "give 1 to 65534"),
        ("weir --base-port 9000 --shards 3", "shard 2 would listen on port 9002 like --addr"),
        ("weir --token=", "--token: give 1 to 4096"),
        ("weir --admin-key=", "--admin-key: an admin key is 1 to 1024"),
    ] {
        let error = parse(line).unwrap().config(nothing).expect_err(line);
        assert!(error.contains(told), "{error}");
    }
    for nodes in ["", "all", "0,", "0-3", "-2"] {
        let flags = ["weir".to_owned(), format!("--numa={nodes}")];
        let error = Cli::try_parse_from(flags).expect_err(nodes).to_string();
        assert!(error.contains("auto, off") && error.contains("0,2"), "{error}");
    }
}

#[test]
fn what_other_systems_were_started_with_starts_this_one() {
    let config = |line: &str| parse(line).expect(line).config(nothing).expect(line);
    let first = config("weir -addr=:9002 -shards=32 -workers=8 -batch=32 -ring=2048");
    assert_eq!((first.addr.port(), first.shards, first.workers), (9002, Some(32), Some(8)));
    assert_eq!((first.batch, first.ring), (32, 2048));
    let second = config("weir -shards=3 -base-port=3002 -lb-addr=:3005");
    assert_eq!((second.addr.port(), second.base_port), (3005, Some(3002)));
    for numa in ["-numa -1", "-numa=-1", "--numa=-1", "--numa -1"] {
        assert_eq!(config(&format!("weir {numa} -shards 2")).numa, Numa::Auto);
    }
    assert_eq!(config("weir -numa 1").numa, Numa::Nodes([1].into()));
}

#[test]
fn a_misspelt_flag_is_told_which_one_is_meant() {
    for (line, meant) in [
        ("weir -shard=3", "--shards"),
        ("weir --shard 3", "--shards"),
        ("weir -base_port=3", "--base-port"),
        ("weir serve -lb-adr=:1", "--lb-addr"),
        ("weir -tokn=s3cret", "--token"),
    ] {
        let error = parse(line).expect_err(line).to_string();
        let told = format!("a similar argument exists: '{meant}'");
        assert!(error.contains(&told) && !error.contains("s3cret"), "{line}: {error}");
    }
}

#[test]
fn every_long_flag_has_a_single_dash_and_a_variable_of_its_name() {
    let command = Cli::command();
    let flags = || command.get_arguments().filter(|flag| flag.get_long().is_some());
    let names: Vec<_> = flags().filter_map(clap::Arg::get_long).collect();
    for name in [
        "addr",
        "shards",
        "workers",
        "batch",
        "coalesce-micros",
        "ring",
        "numa",
        "max-connections",
        "base-port",
        "admin",
        "admin-key",
        "token",
        "drain-secs",
        "config",
        "log-format",
        "debug",
        "watch",
        "instance-id",
    ] {
        assert!(names.contains(&name), "{name}");
    }
    for flag in flags() {
        let name = flag.get_long().unwrap();
        let variable = format!("WEIR_{}", name.to_uppercase().replace('-', "_"));
        assert_eq!(flag.get_env(), Some(variable.as_ref()), "{name}");
        let written = [OsString::from("weir"), format!("-{name}").into()];
        let meant = [OsString::from("weir"), format!("--{name}").into()];
        assert_eq!(doubled(written, &Names::of(&command)), meant);
    }
}

#[test]
fn two_spellings_of_the_address_must_agree() {
    let addr = |line: &str| parse(line).expect(line).config(nothing).map(|it| it.addr.port());
    assert_eq!(addr("weir --addr :7 --lb-addr :7"), Ok(7));
    let error = addr("weir -addr=:7 -lb-addr=:8").unwrap_err();
    assert!(error.contains(":7 and :8") && error.contains("one flag"), "{error}");
}

#[test]
fn variables_of_others_count_where_no_flag_says_otherwise() {
    let config = |line: &str, variables: &[(&str, &str)]| {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        parse(line).expect(line).config(variable)
    };
    let port = |line: &str, variables: &[(&str, &str)]| {
        config(line, variables).map(|config| config.addr.port())
    };
    assert_eq!(port("weir", &[("PORT", "8080")]), Ok(8080));
    assert!(config("weir", &[("PORT", "8080")]).unwrap().addr.ip().is_unspecified());
    assert_eq!(port("weir --addr :7", &[("PORT", "none")]), Ok(7));
    assert_eq!(port("weir -lb-addr :7", &[("PORT", "8080"), ("WEIR_LB_ADDR", ":6")]), Ok(7));
    assert_eq!(port("weir", &[("PORT", "8080"), ("WEIR_LB_ADDR", ":6")]), Ok(6));
    assert_eq!(port("weir", &[("PORT", "")]), Ok(ADDR_DEFAULT.port()));
    for bad in ["none", "70000", "-1", ":80"] {
        let error = port("weir", &[("PORT", bad)]).unwrap_err();
        assert_eq!(error, format!("PORT {bad}: give 0 to 65535, or --addr"));
    }
    let name = |line, variables| config(line, variables).unwrap().instance;
    assert_eq!(name("weir", &[("INSTANCE_ID", "eu-1")]).as_deref(), Some("eu-1"));
    assert_eq!(name("weir -instance-id=us", &[("INSTANCE_ID", "eu-1")]).as_deref(), Some("us"));
    assert_eq!(name("weir", &[("INSTANCE_ID", "")]), None);
    assert!(config("weir", &[("INSTANCE_ID", "e u")]).unwrap_err().contains("--instance-id"));
}

#[test]
fn secrets_are_not_shown() {
    for line in ["weir -token s3cret -admin-key=s3cret", "weir --token=s3cret --admin-key s3cret"] {
        let flags = parse(line).expect(line);
        let config = flags.config(nothing).expect(line);
        let shown = format!("{flags:?} {config:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert_eq!(config.token.expect("it was given").expose(), "s3cret");
        assert_eq!(config.admin_key.expect("it was given").expose(), "s3cret");
    }
    let dashed = parse("weir -token -s3cret -shards 2").unwrap().config(nothing).unwrap();
    assert_eq!(dashed.token.expect("it was given").expose(), "-s3cret");
    for line in [
        "weir --token s3cret --token s3cret",
        "weir --token s3cret --bogus",
        "weir --tokn=s3cret",
        "weir --admin-keys=s3cret",
    ] {
        let error = parse(line).expect_err(line).to_string();
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[test]
fn the_admin_listener_is_somewhere_else_or_nowhere() {
    let admin = |line: &str| parse(line).expect(line).config(nothing).map(|config| config.admin);
    assert_eq!(admin("weir"), Ok(Some(AdminAddr { addr: ADMIN_DEFAULT, asked: false })));
    assert_eq!(admin("weir --admin off"), Ok(None));
    let given = admin("weir --admin 127.0.0.1:0").expect("an address").expect("somewhere");
    assert!(given.asked && given.addr.port() == 0);
    assert!(admin("weir --admin here").expect_err("no address").contains("--admin here"));
}

#[test]
fn addresses_may_be_short() {
    let port = |line: &str| parse(line).unwrap().config(nothing).map(|config| config.addr.port());
    assert_eq!(port("weir --addr :9100"), Ok(9100));
    assert_eq!(port("weir --addr 127.0.0.1:0"), Ok(0));
    assert!(parse("weir --addr [::1]:7").unwrap().config(nothing).unwrap().addr.is_ipv6());
    for bad in [":", ":x", ":70000", "127.0.0.1", "9002"] {
        let error = port(&format!("weir --addr {bad}")).expect_err(bad);
        assert!(error.contains(bad) && error.contains("HOST:PORT"), "{error}");
    }
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    for bad in [
        "weir --shards many",
        "weir --workers -1",
        "weir --max-connections 0",
        "weir --base-port 65536",
        "weir --drain-secs 3601",
        "weir --drain-secs -1",
        "weir --numa -shards=3",
        "weir --debug=yes",
        "weir --token",
        "weir --log-format xml",
        "weir --bogus",
        "weir dance",
        "weir doctor --fix",
        "weir doctor --iface eth0:fast",
        "weir doctor --selector cpu",
    ] {
        assert_eq!(parse(bad).expect_err(bad).exit_code(), 2, "{bad}");
    }
}

#[test]
fn a_line_of_serve_can_be_examined_as_it_is() {
    let line = "weir doctor -addr=[::]:7 -shards=1 -limit-loopback -iface=a,b:generic -guard g";
    let cli = Cli::try_read(line.split(' ').map(OsString::from)).unwrap();
    let asked = cli.doctor().expect("that command").asked(nothing).unwrap();
    assert_eq!((asked.addr.to_string().as_str(), asked.plan.shards()), ("::", 1));
    let steering = &asked.steering;
    let ifaces: Vec<_> = steering.ifaces.iter().map(|it| (it.name.as_str(), it.generic)).collect();
    assert_eq!(ifaces, [("a", false), ("b", true)]);
    assert!(steering.limit_loopback && steering.guard.is_some() && steering.pin.is_none());
    assert!(parse("weir --shards 1").is_ok(), "and serves without it");
    let serve = Cli::try_read(["weir", "serve"].map(OsString::from)).unwrap();
    assert!(serve.doctor().is_none());
}
