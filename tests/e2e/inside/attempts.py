"""Runs in a host: sends one packet at least to each [protocol, address, port] of the JSON list in its argument.

Ends with an error when one of them answers. One that cannot be sent is no error: what counts is what is counted.
"""

import json
import socket
import sys

NUMBERS = {"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58}
ECHO = {1: bytes((8, 0, 0xF7, 0xFD, 0, 1, 0, 1)), 58: bytes((128, 0, 0, 0, 0, 1, 0, 1))}

for protocol, destination, port in json.loads(sys.argv[1]):
    number = NUMBERS.get(protocol) or int(protocol)
    family = socket.AF_INET6 if ":" in destination else socket.AF_INET
    kind = {6: socket.SOCK_STREAM, 17: socket.SOCK_DGRAM}.get(number, socket.SOCK_RAW)
    with socket.socket(family, kind, number) as sending:
        sending.settimeout(0.3)
        try:
            address = socket.getaddrinfo(destination, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0][4]
            sending.connect(address)
            if number == 6:
                sys.exit(f"{destination} answers")
            sending.send(ECHO.get(number, b"control"))
        except OSError as error:  # nobody answers, or there is no route: what counts is whether it is counted
            print(protocol, destination, error)
