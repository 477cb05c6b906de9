"""Real servers for the tests: private processes on free loopback ports that end with the test process."""
