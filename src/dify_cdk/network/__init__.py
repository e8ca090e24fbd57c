"""The network: a VPC whose data subnets never move, or one of yours, and what leads out of a closed one."""
