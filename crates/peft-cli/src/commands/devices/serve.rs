//! `peft devices serve`: this machine's devices for other machines.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `peft devices serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Devices to serve, several between commas: flex, wgpu:0,wgpu:1, cuda:0.
    #[arg(long, default_value = "auto")]
    device: String,
    /// UDP port, on all interfaces.
    #[arg(long, default_value_t = 4433)]
    port: u16,
    /// File with the key by which others know this server; made when there is none. Whoever has it can pose as the server.
    #[arg(long, value_name = "FILE", default_value = "peft-device.key")]
    key: PathBuf,
}

/// Serves until the process is told to end.
///
/// # Errors
/// A device, the key or the token is not there, the port is taken, or the program was built without.
#[cfg(feature = "remote")]
pub fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let server = peft_run::device::Server {
        devices: args.device.split(',').map(str::to_owned).collect(),
        port: args.port,
        key: args.key.clone(),
    };
    let more = match server.devices.len() {
        1 => String::new(),
        count => format!(" (#1 to #{} behind it for the others)", count - 1),
    };
    server.serve(|id| {
        println!("--device remote:{id}@HOST:{}{more}", args.port);
    })?;
    Ok(())
}

/// This program was built without.
///
/// # Errors
/// Always.
#[cfg(not(feature = "remote"))]
pub fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let (device, port, key) = (&args.device, args.port, args.key.display());
    anyhow::bail!(
        "serving {device} on port {port} with the key {key}: this binary was built without it; build with `--features remote`"
    )
}
