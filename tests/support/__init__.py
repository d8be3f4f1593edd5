"""What tests of every kind share: databases, builders, and fakes of the world outside."""
