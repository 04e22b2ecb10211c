"""Bytes over links: how long transfers take on shared links, as pure data structures without a clock."""
