"""What cloud-init's own classes make of a seed: cloud_init.py FOLDER, where FOLDER/nocloud holds the seed's files.

Prints JSON: the data source's metadata and network configuration, each part of user-data, the merged cloud-config,
what its schema says about that, and the network state that its parser makes. Needs Debian's package cloud-init.
"""
import base64
import json
import logging
import os
import sys
from unittest import mock

from cloudinit import helpers, user_data, util
from cloudinit.handlers.cloud_config import CloudConfigPartHandler
from cloudinit.net import network_state
from cloudinit.sources import DataSourceNoCloud as nocloud

logging.disable(logging.CRITICAL)
folder = sys.argv[1]
paths = helpers.Paths({"cloud_dir": folder, "run_dir": folder, "templates_dir": folder})
paths.seed_dir = folder
source = nocloud.DataSourceNoCloud({}, None, paths)
with mock.patch.object(nocloud.DataSourceNoCloud, "_get_devices", return_value=[]), \
        mock.patch.object(nocloud.dmi, "read_dmi_data", return_value=None), \
        mock.patch.object(nocloud.util, "get_cmdline", return_value=""):
    assert source._get_data(), "the data source finds nothing"

parts, configs = [], []
message = user_data.UserDataProcessor(paths).process(source.userdata_raw)
for part in message.walk():
    if user_data.is_skippable(part):
        continue
    payload = util.fully_decoded_payload(part)
    payload = payload.encode() if isinstance(payload, str) else payload
    parts.append({"type": part.get_content_type(), "name": part.get_filename(), "bytes": base64.b64encode(payload).decode()})
    if part.get_content_type() == "text/cloud-config":
        configs.append((payload.decode(), part))

written = os.path.join(folder, "merged")
handler = CloudConfigPartHandler(paths)
handler.cloud_fn = written
handler.handle_part(None, "__begin__", None, None, None, {})
for number, (payload, part) in enumerate(configs):
    handler._merge_part(payload, part) if handler.cloud_buf is not None else \
        handler.handle_part(None, "text/cloud-config", "part-%d" % number, payload, None, part)
handler.handle_part(None, "__end__", None, None, None, {})
merged = util.load_yaml(util.load_file(written)) if configs else None

schema = []
try:
    from cloudinit.config import schema as checker
    checker.validate_cloudconfig_schema(merged or {}, strict=True)
except ImportError as missing:
    schema = ["not checked: %s" % missing]
except checker.SchemaValidationError as error:
    schema = [str(error)]

network = source.network_config
network = network.get("network", network) if network else None
interfaces = {}
if network:
    state = network_state.parse_net_config_data(network, skip_broken=False)
    for interface in state.iter_interfaces():
        interfaces[interface["name"]] = {
            "mac": interface.get("mac_address"),
            "mtu": interface.get("mtu"),
            "subnets": interface.get("subnets"),
        }
print(json.dumps({
    "metadata": source.metadata, "parts": parts, "merged": merged, "schema": schema, "interfaces": interfaces,
    "vendor": source.vendordata_raw.decode() if isinstance(source.vendordata_raw, bytes) else source.vendordata_raw,
}, default=str))
