"""Reports of mail servers, mobile networks and providers about messages that they have accepted."""
