//! The floating addresses.

use serde_json::json;

use super::asked::Asked;
use super::{Answer, State};

impl State {
    pub(super) fn floating(&mut self, asked: &Asked<'_>) -> Answer {
        if let Some(barred) = self.barred(asked) {
            return barred;
        }
        let mut found = Vec::new();
        for server in self.living() {
            let networks = server.addresses.as_object().into_iter().flat_map(|all| all.values());
            for port in networks.flat_map(|ports| ports.as_array().unwrap()) {
                if port["OS-EXT-IPS:type"] == "floating" {
                    found.push(json!({
                        "id": format!("f-{}", server.id), "floating_ip_address": port["addr"],
                        "fixed_ip_address": null, "port_id": "p", "router_id": "r",
                        "floating_network_id": "n", "status": "ACTIVE", "tags": [],
                        "port_details": {"device_id": server.id, "device_owner": "compute:nova"},
                    }));
                }
            }
        }
        Answer::json("200 OK", &json!({"floatingips": found}))
    }
}
