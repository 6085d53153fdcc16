"""HTTP transport: access, bodies, limits, forwarding, problems; knows no resource."""
