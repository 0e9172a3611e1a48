//! Devices of other processes: `peft devices serve` on this machine's loopback, and `--device remote:..` of them. Built with the feature
//! `remote` alone.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod binary;

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};

use binary::dealt_out::{assert_same, line, losses};
use binary::tiny_llama::Place;

const TOKEN: &str = "PEFT_DEVICE_TOKEN";

/// A process that serves its processor.
struct Server {
    process: Child,
    /// What it is called as a device.
    name: String,
}

impl Server {
    fn new(place: &Place) -> Self {
        // Free a moment ago.
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr();
        let port = port.unwrap().port();
        let mut process = Command::new(env!("CARGO_BIN_EXE_peft"))
            .args(["devices", "serve", "--device", "flex"])
            .args(["--port", &port.to_string()])
            .args(["--key", &place.path(&format!("{port}.key"))])
            .env(SECRET.0, SECRET.1)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let name = line.trim().strip_prefix("--device ").unwrap();
        Self {
            name: name.replace("HOST", "127.0.0.1"),
            process,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const SECRET: (&str, &str) = (TOKEN, "a secret of this test");

#[track_caller]
fn trained(place: &Place, line: &str) {
    let output = place.output_in(line, &[SECRET]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {said}");
}

#[test]
fn two_servers_train_as_one_device_does_and_a_run_outlives_one_of_them() {
    let place = Place::new();
    let servers = [Server::new(&place), Server::new(&place)];
    let names = servers.each_ref().map(|server| server.name.clone());
    trained(&place, &line("flex", 50, "--out @one"));
    trained(&place, &line(&names.join(","), 50, "--out @two"));
    let one = losses(&place, "one");
    assert!(one[49] < 0.9 * one[0], "nothing was learnt: {one:?}");
    assert_same(&one, &losses(&place, "two"));

    // One of them dies in the middle.
    let [_first, second] = servers;
    let long = line(&names.join(","), 50, "--out @killed");
    let process = std::thread::scope(|scope| {
        let run = scope.spawn(|| place.output_in(&long, &[SECRET]));
        while losses(&place, "killed").len() < 10 && !run.is_finished() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        drop(second);
        run.join().unwrap()
    });
    let said = String::from_utf8_lossy(&process.stderr);
    assert!(!process.status.success(), "{said}");
    assert!(said.contains("holds everything to go on from"), "{said}");
    trained(&place, &line(&names[0], 50, "--out @killed --resume"));
    assert_same(&one, &losses(&place, "killed"));
}

#[test]
fn who_does_not_know_the_secret_is_refused() {
    let place = Place::new();
    let server = Server::new(&place);
    let train = line(&server.name, 1, "--out @run");
    let said = |variables: &[(&str, &str)]| {
        let output = place.output_in(&train, variables);
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let without = said(&[]);
    assert!(without.contains(TOKEN), "{without}");
    let wrong = said(&[(TOKEN, "a guess")]);
    assert!(wrong.contains("credential"), "{wrong}");
    for (device, expected) in [
        ("remote", "remote:ID@HOST:PORT"),
        ("remote:x@127.0.0.1:4433", "remote:ID@HOST:PORT"),
    ] {
        let error = place.refused(&line(device, 1, "--out @run"));
        assert!(error.contains(expected), "{error}");
    }
}
