//! A real Keystone on loopback with a database of its own, in whose catalog
//! the fake's Nova stands.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::keeper;
use super::{OpenStack, REGION};

pub const ADMIN_PASSWORD: &str = "canary-of-the-admin";
const PATIENCE: Duration = Duration::from_secs(120);

pub struct RealKeystone {
    port: u16,
    server: Child,
    token: String,
    dir: tempfile::TempDir,
}

impl RealKeystone {
    /// Its admin is the project admin's, as `keystone-manage bootstrap` makes it.
    pub fn start(nova: &OpenStack) -> Self {
        let dir = tempfile::Builder::new().prefix("wb-keystone-").tempdir().unwrap();
        prepare(dir.path());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}/v3");
        let bootstrap = ["--bootstrap-region-id", REGION, "--bootstrap-public-url", &url];
        let password = ["--bootstrap-password", ADMIN_PASSWORD];
        manage(dir.path(), &[&["bootstrap"], &password[..], &bootstrap[..]].concat());
        let mut command = Command::new("keystone-wsgi-public");
        command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--"]);
        command.arg("--config-file").arg(dir.path().join("keystone.conf"));
        let log = fs::File::create(dir.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let server = keeper::spawn(command).unwrap();
        let mut keystone = Self { port, server, token: String::new(), dir };
        keystone.wait_until_up();
        keystone.token = keystone.login();
        keystone.offer(nova);
        nova.state().validator = Some(keystone.port);
        keystone
    }

    pub fn auth_url(&self) -> String {
        format!("http://127.0.0.1:{}/v3", self.port)
    }

    /// Returns its id.
    pub fn user(&self, name: &str) -> String {
        let form = json!({"user": {"name": name, "domain_id": "default"}});
        self.ask("POST", "/v3/users", &form)["user"]["id"].as_str().unwrap().to_owned()
    }

    /// The admin's; returns id and secret.
    pub fn application_credential(&self) -> (String, String) {
        let me = self.ask("GET", "/v3/users?name=admin", &Value::Null);
        let path =
            format!("/v3/users/{}/application_credentials", me["users"][0]["id"].as_str().unwrap());
        let form = json!({"application_credential": {"name": "balloon"}});
        let made = self.ask("POST", &path, &form);
        let part = |name: &str| made["application_credential"][name].as_str().unwrap().to_owned();
        (part("id"), part("secret"))
    }

    pub fn revoke(&self, credential: &str) {
        let me = self.ask("GET", "/v3/users?name=admin", &Value::Null);
        let user = me["users"][0]["id"].as_str().unwrap();
        let path = format!("/v3/users/{user}/application_credentials/{credential}");
        self.ask("DELETE", &path, &Value::Null);
    }

    fn login(&self) -> String {
        let domain = json!({"id": "default"});
        let form = json!({"auth": {
            "identity": {"methods": ["password"], "password": {
                "user": {"name": "admin", "domain": domain, "password": ADMIN_PASSWORD}}},
            "scope": {"project": {"name": "admin", "domain": domain}}}});
        let told = exchange(self.port, "POST", "/v3/auth/tokens", &[], &form);
        let token = told.lines().find_map(|line| line.strip_prefix("X-Subject-Token: "));
        token.unwrap_or_else(|| panic!("{told}\n{}", self.log())).to_owned()
    }

    fn offer(&self, nova: &OpenStack) {
        let service = json!({"service": {"type": "compute", "name": "nova"}});
        let service = self.ask("POST", "/v3/services", &service)["service"]["id"].clone();
        let url = format!("{}/compute/{REGION}/v2.1", nova.url());
        let endpoint = json!({"endpoint": {"service_id": service, "interface": "public",
            "region_id": REGION, "url": url}});
        self.ask("POST", "/v3/endpoints", &endpoint);
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let told = exchange(self.port, method, path, &[("X-Auth-Token", &self.token)], body);
        let (head, body) = told.split_once("\r\n\r\n").unwrap();
        assert_eq!(head.split(' ').nth(1).unwrap().as_bytes()[0], b'2', "{told}\n{}", self.log());
        if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() }
    }

    fn wait_until_up(&mut self) {
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.server.try_wait().unwrap();
            assert!(ended.is_none(), "Keystone ended with {ended:?}:\n{}", self.log());
            assert!(began.elapsed() < PATIENCE, "Keystone is not up:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for RealKeystone {
    fn drop(&mut self) {
        keeper::stop(&mut self.server);
    }
}

/// Whether the Keystone at this port knows the token.
pub(super) fn is_valid(port: u16, token: &str) -> bool {
    let headers = [("X-Auth-Token", token), ("X-Subject-Token", token)];
    let told = exchange(port, "GET", "/v3/auth/tokens", &headers, &Value::Null);
    told.split(' ').nth(1) == Some("200")
}

fn prepare(dir: &Path) {
    let at = dir.display();
    let conf = format!(
        "[database]\nconnection = sqlite:///{at}/keystone.db\n[cache]\nenabled = false\n\
         [fernet_tokens]\nkey_repository = {at}/tokens\n\
         [credential]\nkey_repository = {at}/credentials\n"
    );
    fs::write(dir.join("keystone.conf"), conf).unwrap();
    fs::create_dir(dir.join("tokens")).unwrap();
    manage(dir, &["db_sync"]);
    let me = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
    manage(dir, &["fernet_setup", "--keystone-user", &me, "--keystone-group", &me]);
}

fn manage(dir: &Path, args: &[&str]) {
    let mut command = Command::new("keystone-manage");
    command.arg("--config-file").arg(dir.join("keystone.conf")).args(args);
    let done = command.output();
    let done = done.expect("keystone-manage: apt-get install python3-keystone, or run make test");
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// One question on a connection of its own, and the whole answer.
fn exchange(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> String {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut request = format!("{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!(
        "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    told
}
