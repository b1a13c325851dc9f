"""What tests share: servers, daemons, databases, and ways to look at them."""
