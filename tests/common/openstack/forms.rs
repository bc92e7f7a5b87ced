//! The forms of things as JSON, as a Zed cloud was seen to give them.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{Answer, Flavor, Server, wrapped};

pub(super) fn no_instance(id: &str) -> Answer {
    wrapped("404 Not Found", "itemNotFound", format!("Instance {id} could not be found."))
}

pub(super) fn flavor_form(flavor: &Flavor) -> Value {
    json!({"id": flavor.id, "name": flavor.name, "vcpus": flavor.vcpus, "ram": flavor.ram,
           "disk": flavor.disk, "swap": 0, "rxtx_factor": 1.0, "OS-FLV-EXT-DATA:ephemeral": 0,
           "OS-FLV-DISABLED:disabled": false, "os-flavor-access:is_public": true,
           "description": null, "extra_specs": {}, "links": []})
}

pub(super) fn form(server: &Server, minor: u32) -> Value {
    let flavor = &server.flavor;
    let flavor = if minor >= 47 {
        json!({"original_name": flavor.name, "vcpus": flavor.vcpus, "ram": flavor.ram,
               "disk": flavor.disk, "ephemeral": 0, "swap": 0, "extra_specs": {}})
    } else {
        json!({"id": flavor.id, "links": [{"rel": "bookmark", "href": "http://localhost/flavors"}]})
    };
    let vm_state = match server.status.as_str() {
        "ACTIVE" => "active",
        "SHUTOFF" => "stopped",
        "DELETED" => "deleted",
        _ => "other",
    };
    json!({
        "OS-DCF:diskConfig": "MANUAL", "OS-EXT-AZ:availability_zone": "nova",
        "OS-EXT-SRV-ATTR:host": "localhost", "OS-EXT-SRV-ATTR:hostname": server.name,
        "OS-EXT-SRV-ATTR:hypervisor_hostname": "localhost",
        "OS-EXT-SRV-ATTR:instance_name": "instance-0000000a",
        "OS-EXT-SRV-ATTR:kernel_id": "", "OS-EXT-SRV-ATTR:launch_index": 0,
        "OS-EXT-SRV-ATTR:ramdisk_id": "", "OS-EXT-SRV-ATTR:reservation_id": "r-1mig7w50",
        "OS-EXT-SRV-ATTR:root_device_name": "/dev/sda", "OS-EXT-SRV-ATTR:user_data": null,
        "OS-EXT-STS:power_state": u8::from(server.status == "ACTIVE"),
        "OS-EXT-STS:task_state": server.task, "OS-EXT-STS:vm_state": vm_state,
        "OS-SRV-USG:launched_at": micros(server.launched, ""),
        "OS-SRV-USG:terminated_at": server.terminated.map(|at| micros(at, "")),
        "accessIPv4": "", "accessIPv6": "", "addresses": server.addresses, "config_drive": "",
        "created": whole(server.created), "updated": whole(server.updated),
        "description": null, "flavor": flavor, "host_status": "UP",
        "hostId": "5e5e7ad53136917b6c2b4c1cbbe1adc042bd14889797b51a1a4bf029",
        "id": server.id, "image": {"id": "6b592046-f3d8-4c42-9afa-f8bce2b3bc58", "links": []},
        "key_name": null, "links": [], "locked": false, "locked_reason": null,
        "metadata": server.metadata, "name": server.name,
        "os-extended-volumes:volumes_attached": [], "status": server.status, "tags": [],
        "tenant_id": "p", "trusted_image_certificates": null, "user_id": server.user,
    })
}

fn whole(seconds: i64) -> String {
    let time = UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap());
    humantime::format_rfc3339_seconds(time).to_string()
}

/// With a fraction of its own, and with `zone` behind it.
pub(super) fn micros(seconds: i64, zone: &str) -> String {
    format!("{}.251000{zone}", whole(seconds).trim_end_matches('Z'))
}
