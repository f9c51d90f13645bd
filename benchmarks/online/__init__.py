"""The online half beside other servers: open-loop arrivals, the same graph, the same core."""
