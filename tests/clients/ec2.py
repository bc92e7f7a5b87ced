"""An EC2 to ask: moto's server, which the test that started it steers.

Says its port, then answers one line of JSON for each line that it reads.
Ends with its input.
"""

import json
import logging
import os
import sys
import urllib.request

os.environ.update(AWS_ACCESS_KEY_ID="seed", AWS_SECRET_ACCESS_KEY="seed")
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
logging.getLogger("werkzeug").setLevel(logging.ERROR)

import boto3  # noqa: E402
from botocore.config import Config  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
port = server.get_host_and_port()[1]
base = f"http://127.0.0.1:{port}"
admin = {}
# On a machine with much to do moto takes its time, and an order that is given
# again is carried out twice.
patient = Config(read_timeout=600, retries={"total_max_attempts": 1})


def client(service, region="us-east-1"):
    return boto3.client(
        service, region_name=region, endpoint_url=base, config=patient, **admin
    )


def run(region, kind, count, tags):
    ec2 = client("ec2", region)
    image = ec2.describe_images()["Images"][0]["ImageId"]
    spec = [{"ResourceType": "instance", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}]
    # A reservation each: moto's pages are of reservations.
    return [
        ec2.run_instances(
            ImageId=image,
            InstanceType=kind,
            MinCount=1,
            MaxCount=1,
            **({"TagSpecifications": spec} if tags else {}),
        )["Instances"][0]["InstanceId"]
        for _ in range(count)
    ]


def change(region, what, ids):
    getattr(client("ec2", region), f"{what}_instances")(InstanceIds=ids)


def user(name, actions):
    iam = client("iam")
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}],
    }
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
    return {"id": key["AccessKeyId"], "secret": key["SecretAccessKey"]}


def check_signatures(id, secret):
    """From here on; the test's own changes are signed with this key."""
    admin.update(aws_access_key_id=id, aws_secret_access_key=secret)
    request = urllib.request.Request(
        f"{base}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}
    )
    urllib.request.urlopen(request).read()


print(json.dumps({"port": port}), flush=True)
orders = {"run": run, "change": change, "user": user, "check_signatures": check_signatures}
for line in sys.stdin:
    order = json.loads(line)
    done = orders[order.pop("do")](**order)
    print(json.dumps({"done": done}), flush=True)
