-- Whether another group builds on a group, for the collection of those that nothing refers to.
CREATE INDEX "state_groups_prev_state_group_idx" ON "state_groups"("prev_state_group");
