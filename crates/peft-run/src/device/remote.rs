//! Devices of other machines, and this one's for others: Burn's operations sent over QUIC, encrypted, to a server that is known by its key.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use burn::remote::{ConnectError, EndpointId, IrohHost, IrohRelays, RemoteHost};
use burn::server::{IrohIdentity, IrohTransport, RemoteServer, TokenAuthorizer};
use burn::tensor::Device;

use super::DeviceError;

/// Environment variable with what a server asks of whoever wants its devices.
pub const TOKEN: &str = "PEFT_DEVICE_TOKEN";

/// What the name of a device looks like.
const FORM: &str = "expected remote:ID@HOST:PORT, as `peft devices serve` prints it, with #1 behind it for its second device";

/// How long a server is waited for, and how long between two attempts.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);

/// Connects the device that `remote:ID@HOST:PORT` or `remote:ID@HOST:PORT#1` names.
pub(super) fn open(choice: &str, address: &str) -> Result<Device, DeviceError> {
    let problem = |problem: String| DeviceError::Remote {
        choice: choice.to_owned(),
        problem,
    };
    let form = || problem(FORM.to_owned());
    let (address, index) = match address.split_once('#') {
        None => (address, 0),
        Some((address, index)) => (address, index.parse().map_err(|_| form())?),
    };
    let (id, place) = address.split_once('@').ok_or_else(form)?;
    let id: EndpointId = id.parse().map_err(|_| form())?;
    let places = place.to_socket_addrs();
    let places: Vec<SocketAddr> = places
        .map_err(|error| problem(format!("no such place as {place}: {error}")))?
        .collect();
    let host = IrohHost::new(id).with_relays(IrohRelays::Disabled);
    let host = places.into_iter().fold(host, IrohHost::with_address);
    let host = RemoteHost::iroh(host).with_credential(token().map_err(problem)?);
    let options = Device::remote_options(&host).device_index(index);
    let since = Instant::now();
    loop {
        match options.clone().init() {
            Ok(device) => return Ok(device),
            // A server that has just been started.
            Err(ConnectError::Unreachable { .. } | ConnectError::Handshake { .. })
                if since.elapsed() < PATIENCE =>
            {
                std::thread::sleep(PAUSE);
            }
            Err(error) => return Err(problem(error.to_string())),
        }
    }
}

/// The token of the environment.
fn token() -> Result<String, String> {
    let token = std::env::var(TOKEN).unwrap_or_default();
    match token.is_empty() {
        true => Err(format!(
            "set {TOKEN} to the secret that the server was started with"
        )),
        false => Ok(token),
    }
}

/// This machine's devices for others.
#[derive(Debug, Clone)]
pub struct Server {
    /// Devices by name, as `--device` takes them; a client picks one by its place.
    pub devices: Vec<String>,
    /// UDP port on all interfaces.
    pub port: u16,
    /// File with the key by which clients know the server; made when it is not there.
    pub key: PathBuf,
}

/// Why devices cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A device that is not there.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// No secret.
    #[error(
        "{TOKEN} is not set: it is the secret that clients must know; choose one, and set it here and there"
    )]
    Token,
    /// The key cannot be read or made.
    #[error("{}: {source}; the file is to hold the 32 bytes of a server's key, and is made when there is none", path.display())]
    Key {
        /// Its file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The server does not start, or ends.
    #[error("serving on port {port}: {problem}")]
    Server {
        /// Its port.
        port: u16,
        /// What Burn says.
        problem: String,
    },
}

impl Server {
    /// Serves until the process is told to end; `ready` is called with the server's identity, to be told to clients.
    ///
    /// # Errors
    /// A device, the key or the token is not there, or the port is taken.
    pub fn serve(&self, ready: impl FnOnce(&str)) -> Result<(), ServeError> {
        let token = token().map_err(|_| ServeError::Token)?;
        let devices = self.devices.iter().map(|name| super::open(name));
        let devices: Vec<Device> = devices.collect::<Result<_, _>>()?;
        let identity = identity(&self.key)?;
        ready(&identity.id().to_string());
        let transport = IrohTransport::new(identity)
            .with_relays(IrohRelays::Disabled)
            .with_port(self.port);
        let problem = |error: &dyn std::error::Error| ServeError::Server {
            port: self.port,
            problem: error.to_string(),
        };
        let authorizer = TokenAuthorizer::new(token).map_err(|error| problem(&error))?;
        let server = RemoteServer::new(devices).with_authorizer(authorizer);
        server.serve(transport).map_err(|error| problem(&error))
    }
}

fn identity(path: &Path) -> Result<IrohIdentity, ServeError> {
    IrohIdentity::load_or_create(path).map_err(|source| ServeError::Key {
        path: path.to_owned(),
        source,
    })
}
