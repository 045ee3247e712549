"""Two drivers of the decision core over recorded workloads, and the run folders they leave."""
