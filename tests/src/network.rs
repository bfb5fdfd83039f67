//! Hosts on one machine: network namespaces with an address each, where the system lets us make them.

use std::process::{Command, Stdio};
use std::sync::OnceLock;

use rustix::process::getpid;

/// Two hosts.
#[derive(Debug)]
pub struct Network {
    /// Of each host the namespace and the address; none where there are no namespaces.
    hosts: Vec<(String, String)>,
    bridge: String,
    address: String,
}

/// The network of this test process, made when first asked for. Without the right to make namespaces its two hosts are this
/// one twice, with daemons that share no memory and talk over the loopback interface.
pub fn network() -> &'static Network {
    static NETWORK: OnceLock<Network> = OnceLock::new();
    NETWORK.get_or_init(|| {
        let made = Network::make();
        if let Err(why) = &made {
            eprintln!("no network namespaces ({why}): both hosts are localhost");
        }
        made.unwrap_or_else(|_| Network { hosts: Vec::new(), bridge: String::new(), address: String::new() })
    })
}

impl Network {
    fn make() -> Result<Self, String> {
        let pid = getpid().as_raw_nonzero();
        // Of the addresses for benchmarks of networks (RFC 2544), which nobody else uses.
        let subnet = format!("198.{}.{}", 18 + pid.get() % 2, pid.get() / 2 % 256);
        let bridge = format!("eg{pid}b");
        let host = |at: i32| (format!("egida-e2e-{pid}-{at}"), format!("{subnet}.{}", at + 2));
        let network = Self {
            hosts: (0..2).map(host).collect(),
            address: format!("{subnet}.1"),
            bridge: bridge.clone(),
        };
        let result = network.lay_out(pid.get());
        if result.is_err() {
            network.remove();
        }
        result.map(|()| network)
    }

    fn lay_out(&self, pid: i32) -> Result<(), String> {
        let Self { hosts, bridge, address } = self;
        ip(&format!("link add {bridge} type bridge"))?;
        ip(&format!("addr add {address}/24 dev {bridge}"))?;
        ip(&format!("link set {bridge} up"))?;
        for (at, (name, address)) in hosts.iter().enumerate() {
            let (here, there) = (format!("eg{pid}h{at}"), format!("eg{pid}t{at}"));
            ip(&format!("netns add {name}"))?;
            ip(&format!("link add {here} type veth peer name {there} netns {name}"))?;
            ip(&format!("link set {here} master {bridge} up"))?;
            ip(&format!("-n {name} addr add {address}/24 dev {there}"))?;
            ip(&format!("-n {name} link set {there} up"))?;
            ip(&format!("-n {name} link set lo up"))?;
        }
        Ok(())
    }

    /// Whether the hosts have addresses of their own.
    pub fn is_real(&self) -> bool {
        !self.hosts.is_empty()
    }

    /// What the hosts are called.
    pub fn names(&self) -> Vec<&str> {
        match &self.hosts[..] {
            [] => vec!["localhost"; 2],
            hosts => hosts.iter().map(|(name, _)| name.as_str()).collect(),
        }
    }

    /// The options that run a job on these hosts.
    pub fn options(&self) -> Vec<(&'static str, String)> {
        match &self.hosts[..] {
            [(a, _), (b, _)] => vec![
                ("--hosts", format!("{a},{b}")),
                ("--launcher", "ip netns exec".to_owned()),
                ("--address", self.address.clone()),
            ],
            _ => vec![("--hosts", "localhost,localhost".to_owned())],
        }
    }

    /// Breaks all connections between the hosts, and those to the launcher.
    ///
    /// # Errors
    /// The system does not let us; why.
    pub fn cut(&self) -> Result<(), String> {
        let [(a, of_a), (b, _)] = &self.hosts[..] else { return Err("there are no namespaces".to_owned()) };
        run("ip", &format!("netns exec {b} ss --kill --tcp dst {of_a}"))?;
        for name in [a, b] {
            run("ip", &format!("netns exec {name} ss --kill --tcp dst {}", self.address))?;
        }
        Ok(())
    }

    /// Removes what was made; to be called at the end of the test process.
    pub fn remove(&self) {
        for (name, _) in &self.hosts {
            let _ = ip(&format!("netns del {name}"));
        }
        if self.is_real() {
            let _ = ip(&format!("link del {}", self.bridge));
        }
    }
}

fn ip(words: &str) -> Result<(), String> {
    run("ip", words)
}

fn run(program: &str, words: &str) -> Result<(), String> {
    let output = Command::new(program).args(words.split_whitespace()).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{program} {words}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}
