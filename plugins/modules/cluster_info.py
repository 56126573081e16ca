#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_info
short_description: See what the rules of an audit know of a cluster
version_added: 0.1.0
author: The nodeward.calico founders (@nodeward)
description:
  - Reads how often CronJobs start pods and how many objects Calico keeps in the datastore. No trap goes by it, rules
    of an audit do.
  - A few requests, also where there are many objects. Changes nothing.
  - What the user of the kubeconfig may not read is null.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
requirements:
  - python >= 3.9
  - kubernetes >= 24.2.0
  - PyYAML >= 3.11
attributes:
  check_mode:
    support: full
    description: It only reads.
  diff_mode:
    support: none
    description: Nothing is changed.
  idempotent:
    support: full
    description: It only reads.
seealso:
  - module: nodeward.calico.node_info
"""

EXAMPLES = r"""
- name: See which CronJobs start most pods
  nodeward.calico.cluster_info:
  run_once: true
  delegate_to: localhost
  register: cluster_info_result
"""

RETURN = r"""
facts:
  description:
    - C(cron_jobs) are those that are not suspended; C(pods_a_day) is an average over a year, without pods that are
      started again, and null where a schedule cannot be read. C(busiest) are the five that start most.
    - C(calico_objects) by the plural of their kind; empty where Calico's datastore is etcd itself.
    - C(calico) is what Calico says its version is.
  returned: success
  type: dict
  sample:
    rules:
      calico: v3.19.0
      nodes: 53
      pods: 1290
      calico_objects:
        blockaffinities: 61
        ipamblocks: 61
        ipamhandles: 1302
      cron_jobs:
        total: 12
        pods_a_day: 14544.0
        busiest:
          - name: billing/rates
            schedule: "* * * * *"
            pods_a_day: 1440.0
"""

from ..module_utils._core.errors import NodewardError
from ..module_utils._kube.api import AUTH_ARG_SPEC, AnsibleK8SModule, connect
from ..module_utils._kube.cluster_info import NAME, observe


def main() -> None:
    module = AnsibleK8SModule(argument_spec=dict(AUTH_ARG_SPEC), supports_check_mode=True)
    try:
        module.exit_json(changed=False, facts={NAME: observe(connect(module))})
    except NodewardError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
