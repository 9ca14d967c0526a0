//! The command line through the real binary: what is printed where, and the exit code.

use std::path::Path;
use std::process::{Command, Output};

fn tidewire(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewire"));
    command.current_dir(folder).args(arguments);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TIDEWIRE_") {
            command.env_remove(name);
        }
    }
    command
}

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("the binary was built");
    let text = |bytes| String::from_utf8(bytes).expect("we write UTF-8");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn check_says_ok_and_what_would_listen_where() {
    let folder = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) = run(&mut tidewire(folder.path(), &["check"]));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.starts_with("ok: built-in defaults\n"), "{stdout}");
    assert!(stdout.contains("mqtt    127.0.0.1:1883, this machine only"), "{stdout}");
    assert!(stdout.contains("data    ./tidewire-data, will be made"), "{stdout}");
    assert!(stdout.contains("stream  mqtt: #; 4 partitions, durability disk"), "{stdout}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "check made something");
}

#[test]
fn check_reads_the_file_and_the_flags_on_either_side_of_the_verb() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("t.toml"),
        "[data]\ndir = \"here\"\n[listener.mqtt]\nanonymous = \"allow\"\n",
    )
    .unwrap();
    let after = ["check", "--config", "t.toml", "--mqtt", "0.0.0.0:99"];
    let before = ["--config", "t.toml", "--mqtt", "0.0.0.0:99", "check"];
    for arguments in [after, before] {
        let (code, stdout, stderr) = run(&mut tidewire(folder.path(), &arguments));
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stdout.starts_with("ok: t.toml\n"), "{stdout}");
        assert!(stdout.contains("mqtt    0.0.0.0:99, open to the network"), "{stdout}");
        assert!(stdout.contains("data    here, will be made"), "{stdout}");
        assert!(stderr.contains("warning: listener.mqtt.bind = 0.0.0.0:99"), "{stderr}");
    }
}

#[test]
fn a_file_is_checked_and_shown_by_its_name_alone_too() {
    let folder = tempfile::tempdir().unwrap();
    for (file, receive_max) in [("t.toml", "7"), ("wrong.toml", "0")] {
        let text = format!("[mqtt]\nreceive_max = {receive_max}\n");
        std::fs::write(folder.path().join(file), text).unwrap();
    }
    for arguments in [&["check", "t.toml"][..], &["check", "t.toml", "--config", "t.toml"]] {
        let (code, stdout, stderr) = run(&mut tidewire(folder.path(), arguments));
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stdout.starts_with("ok: t.toml\n"), "{stdout}");
    }
    let words = ["config", "show", "t.toml", "--changed"];
    let (code, stdout, stderr) = run(&mut tidewire(folder.path(), &words));
    assert_eq!((code, stdout.as_str()), (Some(0), "[mqtt]\nreceive_max = 7\n"), "{stderr}");
    for file in ["wrong.toml", "nowhere.toml"] {
        let (code, stdout, stderr) = run(&mut tidewire(folder.path(), &["check", file]));
        assert_eq!((code, stdout.as_str()), (Some(2), ""));
        assert!(stderr.contains(file), "{stderr}");
    }
}

#[test]
fn two_files_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    for verb in [&["check"][..], &["config", "show"]] {
        let words = [verb, &["a.toml", "--config", "b.toml"]].concat();
        let (code, stdout, stderr) = run(&mut tidewire(folder.path(), &words));
        assert_eq!((code, stdout.as_str()), (Some(2), ""));
        assert!(stderr.contains("a.toml and --config b.toml are two files"), "{stderr}");
        assert!(stderr.contains("try: "), "{stderr}");
    }
}

#[test]
fn a_listener_where_nobody_could_come_in_is_a_mistake_and_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["--mqtt", "0.0.0.0:0", "check"][..], &["--mqtt", "0.0.0.0:0"]] {
        let (code, _, stderr) = run(&mut tidewire(folder.path(), arguments));
        assert_ne!(code, Some(0), "{stderr}");
        for way_out in ["auth.password_file", "listener.mqtt.anonymous = \"allow\""] {
            assert!(stderr.contains(way_out), "{arguments:?}: {stderr}");
        }
    }
    assert!(!folder.path().join("tidewire-data").exists(), "it does not even make its folder");
}

#[test]
fn check_says_which_stream_takes_the_rest_beyond_its_filters() {
    let folder = tempfile::tempdir().unwrap();
    let streams = "[[stream]]\nname = \"mqtt\"\n\
                   [[stream]]\nname = \"plant\"\nfilters = [\"plant/#\"]\n";
    std::fs::write(folder.path().join("t.toml"), streams).unwrap();
    let (code, stdout, stderr) =
        run(&mut tidewire(folder.path(), &["check", "--config", "t.toml"]));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("stream  mqtt: #; 4 partitions"), "{stdout}");
    assert!(
        stdout.contains("stream  plant: plant/# and what no other stream takes; 4"),
        "{stdout}"
    );
}

#[test]
fn check_tells_all_mistakes_of_all_layers_and_exits_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[mqtt]\npacket_byte_max = 4096\nreceive_max = 0\n";
    std::fs::write(folder.path().join("t.toml"), text).unwrap();
    let arguments = ["check", "--config", "t.toml", "--mqtt", "1884"];
    let mut command = tidewire(folder.path(), &arguments);
    let (code, stdout, stderr) = run(command.env("TIDEWIRE_LOG__FORMAT", "xml"));
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    let expected = "tidewire: 4 mistakes in the configuration
t.toml:2:1: there is no setting `mqtt.packet_byte_max`
    2 | packet_byte_max = 4096
      | ^^^^^^^^^^^^^^^
     did you mean `mqtt.packet_bytes_max`?
t.toml:3:15: `mqtt.receive_max` is to be a whole number from 1 to 65535, but it is 0
    3 | receive_max = 0
      |               ^
environment variable TIDEWIRE_LOG__FORMAT: `log.format` is to be one of auto, human, json, \
but it is \"xml\"
flag --mqtt: `listener.mqtt.bind` is to be an address with a port, such as \"127.0.0.1:1883\", \
or \"off\", but it is \"1884\"
correct and try again: tidewire check --config t.toml
";
    assert_eq!(stderr, expected);
}

#[test]
fn check_refuses_a_data_folder_that_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let (code, stdout, stderr) =
        run(&mut tidewire(folder.path(), &["check", "--data", "file/data"]));
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("the data folder file/data cannot be used"), "{stderr}");
    assert!(stderr.trim_end().ends_with("choose another with --data DIR"), "{stderr}");
}

#[test]
fn serve_refuses_a_wrong_configuration_before_it_makes_anything() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["--mqtt", "1884"][..], &["serve", "--mqtt", "1884"]] {
        let (code, _, stderr) = run(&mut tidewire(folder.path(), arguments));
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains("flag --mqtt"), "{stderr}");
    }
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn bad_usage_exits_with_2_and_a_tip() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, stderr) = run(&mut tidewire(folder.path(), &["chek"]));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("'check'"), "{stderr}");
}

#[test]
fn help_documents_the_exit_codes_and_version_the_version() {
    let folder = tempfile::tempdir().unwrap();
    let (code, stdout, _) = run(&mut tidewire(folder.path(), &["--help"]));
    assert_eq!(code, Some(0));
    assert!(stdout.contains("Exit codes: 0 done, 1 failed while running, 2"), "{stdout}");
    let (code, stdout, _) = run(&mut tidewire(folder.path(), &["--version"]));
    assert_eq!((code, stdout.trim()), (Some(0), concat!("tidewire ", env!("CARGO_PKG_VERSION"))));
}
